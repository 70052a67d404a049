from __future__ import annotations

from collections.abc import Iterator

import mvssl.apis.train  # noqa: F401 - with all that it imports
from mvssl.errors import DamageError, UserError


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
