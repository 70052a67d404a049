"""torch.compile: what it is told is checked before a run, what it says in one is a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.words import each, in_words, near_names

__all__ = ["check_compile", "compile_embed", "compile_fault"]


def check_compile(options: bool | Mapping[str, Any] | None) -> None:
    """Raises a UserError for a backend, mode or option that torch.compile has not."""
    if not isinstance(options, Mapping) or not options:
        return
    backend, mode = options.get("backend") or "inductor", options.get("mode")
    if isinstance(backend, str):
        known = torch.compiler.list_backends(exclude_tags=())
        if backend not in known:
            near = near_names(backend, known, f"; it has {each(known)}.")
            raise UserError(f"compile.backend: torch.compile has no backend '{backend}'{near}")
    modes = list(torch._inductor.list_mode_options())
    if mode is not None and mode not in modes:
        raise UserError(f"compile.mode is one of {', '.join(modes)}, got {mode!r}.")
    if mode is not None and options.get("options"):
        raise UserError("compile: mode and options exclude each other: give one of the two.")
    settings = set(torch._inductor.list_options())
    for name in options.get("options") or {} if backend == "inductor" else ():
        if str(name).replace("-", "_") not in settings:
            near = near_names(str(name), settings)
            raise UserError(f"compile.options: inductor has no option '{name}'{near}")


def compile_embed(model: MultiView, options: bool | Mapping[str, Any] | None) -> None:
    """Compile what a step spends its time in; mmengine would compile a step of the model.

    Raises:
        UserError: torch.compile takes none of it.
    """
    if not options:
        return
    arguments = {} if options is True else dict(options)
    try:
        compiled = torch.compile(model.embed, **arguments)
    except Exception as error:  # each backend checks its options in its own way
        raise UserError(f"compile: torch.compile: {in_words(error)}") from error
    model.embed = compiled  # type: ignore[method-assign]


def compile_fault(error: BaseException) -> UserError | None:
    """The sentence of an error of torch.compile, which compiles in the first step; else None."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    told = str(error).strip().split("\n")[0][:300]
    compiler = "ompiler" in type(error).__name__ and "Cxx" in type(error).__name__
    remedy = (
        "install a C++ compiler (Debian, Ubuntu: apt-get install -y g++), or " if compiler else ""
    )
    return UserError(
        f"compile: torch.compile cannot compile this model ({type(error).__name__}: {told}): "
        f"{remedy}leave compile out."
    )
