from __future__ import annotations

from mvssl.errors import either, near_names


def test_near_names() -> None:
    assert near_names("kapa", ["kappa", "loss"]) == "; did you mean 'kappa'?"
    assert near_names("cap", ["caps", "loss", "cup"]) == "; did you mean 'caps' or 'cup'?"
    assert near_names("xyz", ["kappa", "loss"]) == "."
    assert near_names("xyz", ["kappa"], "; it has kappa.") == "; it has kappa."


def test_either() -> None:
    assert [either("abc"[:n]) for n in range(4)] == ["", "'a'", "'a' or 'b'", "'a', 'b' or 'c'"]
    assert either("abcd", most=2) == "'a', 'b' or 2 more"
