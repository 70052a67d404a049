from __future__ import annotations

from mvssl.words import count, each, either, first_line, near_names, some


def test_near_names() -> None:
    assert near_names("kapa", ["kappa", "loss"]) == "; did you mean 'kappa'?"
    assert near_names("cap", ["caps", "loss", "cup"]) == "; did you mean 'caps' or 'cup'?"
    assert near_names("xyz", ["kappa", "loss"]) == "."
    assert near_names("xyz", ["kappa"], "; it has kappa.") == "; it has kappa."


def test_either() -> None:
    assert [either("abc"[:n]) for n in range(4)] == ["", "'a'", "'a' or 'b'", "'a', 'b' or 'c'"]
    assert either("abcd", most=2) == "'a', 'b' or 2 more"


def test_each() -> None:
    assert [each("abc"[:n]) for n in range(4)] == ["", "'a'", "'a' and 'b'", "'a', 'b' and 'c'"]
    assert each("abcd", most=2) == "'a', 'b' and 2 more"


def test_the_first_of_many() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some("abcde") == "a, b, c and 2 more"


def test_numbers_of_things() -> None:
    assert [count(1, "epoch"), count(2, "epoch"), count(0, "process")] == [
        "1 epoch",
        "2 epochs",
        "0 processes",
    ]


def test_the_first_line_of_an_error() -> None:
    assert first_line(RuntimeError("[a/b.cpp:7] no way. \nmore")) == "no way"
    assert first_line(KeyError(3)) == "KeyError"
