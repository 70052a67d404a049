from __future__ import annotations

from collections.abc import Iterator

import mvssl.apis.train  # noqa: F401 - with all that it imports
from mvssl.errors import DamageError, UserError, either, near_names


def _kinds(kind: type[UserError]) -> Iterator[type[UserError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)


def test_every_error_of_a_user_can_be_told_again_on_another_process() -> None:
    for kind in _kinds(UserError):
        assert str(kind("the reason.")) == "the reason.", kind


def test_a_damaged_file_of_ours_is_not_said_to_be_of_others() -> None:
    ours = str(DamageError.of("a.pth", "its checksum is wrong", written_here=True))
    assert ours == "a.pth is damaged (its checksum is wrong): give an earlier checkpoint."
    assert "not a checkpoint, or it is damaged" in str(DamageError.of("a.pth", "it is empty"))


def test_near_names() -> None:
    assert near_names("kapa", ["kappa", "loss"]) == "; did you mean 'kappa'?"
    assert near_names("cap", ["caps", "loss", "cup"]) == "; did you mean 'caps' or 'cup'?"
    assert near_names("xyz", ["kappa", "loss"]) == "."
    assert near_names("xyz", ["kappa"], "; it has kappa.") == "; it has kappa."


def test_either() -> None:
    assert [either("abc"[:n]) for n in range(4)] == ["", "'a'", "'a' or 'b'", "'a', 'b' or 'c'"]
    assert either("abcd", most=2) == "'a', 'b' or 2 more"
