"""Schedules of a run: attributes that change while it trains."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmengine.hooks import Hook
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from mvssl.arguments import Number, is_integer, is_number
from mvssl.engine.optim_options import check_option
from mvssl.engine.run import Run
from mvssl.errors import UserError
from mvssl.registry import HOOKS
from mvssl.schedules import cosine, linear
from mvssl.words import either, near_names

__all__ = ["ScheduleHook"]

Value = bool | float

LEAST_LENGTH, MOST_LENGTH = 1e-6, 2**31

MODEL, OPTIMIZER = "model.", "optim_wrapper.optimizer."


def _step(start: Value, end: Value, step: int, total: int) -> Value:
    return start if step < total else end


SHAPES: dict[str, Callable[[Any, Any, int, int], Value]] = {
    "cosine": cosine,
    "linear": linear,
    "step": _step,
}


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Sets one attribute before every training iteration, and reports it as a scalar.

    The scalar's name is made of the path's last two parts: ``teacher_momentum`` for
    ``model.teacher.momentum``. The value follows from the iteration's number alone, so a run that
    is resumed has the values of one that never stopped, with more epochs those of the longer run,
    and with another batch it is at the same fraction of the ramp. A length in ``iters`` counts
    the iterations that were taken, whatever their batch.

    Args:
        path: ``model.<attribute path>``, of a number or of True or False, or
            ``optim_wrapper.optimizer.<option>``, a number: set in every parameter group where it
            is not 0 at the start (biases and norms keep a weight decay of 0).
        end: the value at the end of the ramp and after it.
        start: the first value; by default that which the config gives.
        shape: ``cosine``, ``linear``, or ``step``: the first value until the length is over, then
            the last. True and False have steps alone.
        epochs: length of the ramp, which may be a fraction of an epoch.
        iters: length of the ramp in iterations. Neither: the whole run.

    Attributes:
        target: the part of the model and its attribute that are set, once they are found.

    Raises:
        UserError: a number or a shape is none; later, from ``bind``: there is nothing at the path
            that can be set so.
    """

    # Before hooks that look at what is set.
    priority = "HIGH"

    def __init__(
        self,
        path: str,
        end: float | bool,
        start: float | bool | None = None,
        shape: str = "cosine",
        epochs: float | None = None,
        iters: int | None = None,
    ) -> None:
        self.path = path
        self.name = "_".join(path.split(".")[-2:])
        self.end = end
        self.start = start
        self.shape = shape
        self.epochs = epochs
        self.iters = iters
        self._check()
        self.target: tuple[Any, str] | None = None
        self._bound: list[_Bound] = []

    def _check(self) -> None:
        if not self.path.startswith((MODEL, OPTIMIZER)) or self.path.endswith("."):
            raise self._fault(
                f"it is of an attribute {MODEL}... (such as model.teacher.momentum) or an option "
                f"{OPTIMIZER}... (such as optim_wrapper.optimizer.weight_decay)."
            )
        if self.path == f"{OPTIMIZER}lr":
            raise self._fault("the learning rate has a schedule of its own, param_scheduler.")
        if self.shape not in SHAPES:
            raise self._fault(f"shape is {either(SHAPES)}, got {self.shape!r}.")
        values = [self.end] if self.start is None else [self.end, self.start]
        if not all(isinstance(value, bool | int | float) for value in values):
            raise self._fault(
                f"start and end are numbers, or True and False; got start={self.start!r}, "
                f"end={self.end!r}."
            )
        if not all(map(math.isfinite, values)):
            raise self._fault(f"start and end are finite; got start={self.start}, end={self.end}.")
        if self.epochs is not None and self.iters is not None:
            raise self._fault("its length is given in epochs or in iters, not in both.")
        length = self.iters if self.epochs is None else self.epochs
        if length is not None and not (is_number(length) and LEAST_LENGTH <= length <= MOST_LENGTH):
            raise self._fault(f"its length is positive, got {length}.")
        if self.iters is not None and not is_integer(self.iters):
            raise self._fault(f"its length in iters is a whole number, got {self.iters!r}.")
        if length is None and self.shape == "step":
            raise self._fault("shape='step' needs epochs or iters, after which it steps.")

    def _fault(self, text: str) -> UserError:
        return UserError(f"ScheduleHook of '{self.path}': {text}")

    def bind(self, model: nn.Module, optimizer: Optimizer | None) -> None:
        """Find what is set, and take in its first value.

        Without an optimiser a schedule of one of its options is left unbound.

        Raises:
            UserError: there is no such attribute or option, or it takes no such values.
        """
        if self.path.startswith(MODEL):
            self._bound = [self._attribute(model)]
        elif optimizer is not None:
            self._bound = self._groups(optimizer)
        for bound in self._bound:
            self._check_kinds(bound)

    def _attribute(self, model: nn.Module) -> _Bound:
        *way, name = self.path.split(".")[1:]
        owner: Any = model
        for part in way:
            owner = self._get(owner, part)
        value = self._get(owner, name)
        if _is_fixed(owner, name, value):
            numbers = sorted(
                key
                for kind in type(owner).__mro__
                for key, x in vars(kind).items()
                if isinstance(x, Number)
            )
            known = f"; {either(numbers)} may" if numbers else ""
            raise self._fault(f"{type(owner).__name__}.{name} may not change in a run{known}.")
        self.target = (owner, name)
        return _Bound(lambda new: setattr(owner, name, new), value, self._first(value))

    def _get(self, owner: Any, name: str) -> Any:
        try:
            return getattr(owner, name)
        except AttributeError:
            kind = "None" if owner is None else type(owner).__name__
            raise self._fault(
                f"{kind} has no '{name}'{_near(name, _attributes(owner))} An inherited schedule is "
                f"left out by setting it to None."
            ) from None

    def _groups(self, optimizer: Optimizer) -> list[_Bound]:
        name = self.path.removeprefix(OPTIMIZER)
        if name not in optimizer.defaults:
            options = [option for option in optimizer.defaults if option != "lr"]
            raise self._fault(f"{type(optimizer).__name__} has no '{name}'{_near(name, options)}")
        bound = []
        for number, group in enumerate(optimizer.param_groups):
            value = group[name]
            if value != 0 or isinstance(value, bool):
                # By number: loading a checkpoint puts other dicts in the place of the groups.
                set_ = _GroupSetter(optimizer, number, name)
                bound.append(_Bound(set_, value, self._first(value)))
        if not bound:
            raise self._fault(
                f"it is 0 in every parameter group, and such groups are left as they are: give "
                f"the config's {self.path} the value at which training starts."
            )
        return bound

    def _first(self, value: Any) -> Any:
        return value if self.start is None else self.start

    def _check_kinds(self, bound: _Bound) -> None:
        values = (bound.value, bound.start, self.end)
        if not isinstance(bound.value, bool | int | float):
            raise self._fault(
                f"it is {bound.value!r}, and a schedule sets numbers, True and False."
            )
        if len({isinstance(value, bool) for value in values}) > 1:
            takes = "True and False" if isinstance(bound.value, bool) else "numbers"
            raise self._fault(f"it takes {takes}, got {bound.start!r} to {self.end!r}.")
        if isinstance(bound.value, bool) and self.shape != "step":
            raise self._fault(
                "there is nothing between True and False: give shape='step', and epochs or iters."
            )
        whole = self.shape == "step" and all(isinstance(value, int) for value in values)
        if self.target is not None and _is_of_whole_numbers(*self.target) and not whole:
            raise self._fault(
                "it is a whole number: give shape='step', epochs or iters, and a whole end."
            )
        try:
            # An attribute that minds its range says so here, before training.
            for value in (bound.start, self.end, bound.value):
                if self.path.startswith(OPTIMIZER):
                    check_option(self.path.removeprefix(OPTIMIZER), value)
                bound.set(value)
        except AttributeError:
            raise self._fault("it can be read and not be set.") from None
        except (UserError, ValueError) as error:
            raise self._fault(str(error)) from None

    def put(self, place: Literal["value", "start", "end"]) -> None:
        """Set the config's own value, the first of the ramp, or its last."""
        for bound in self._bound:
            bound.set({"value": bound.value, "start": bound.start, "end": self.end}[place])

    def before_run(self, runner: Run) -> None:
        # Before a checkpoint is loaded, which puts its own values into the optimiser's groups.
        self.bind(runner.model, runner.optim_wrapper.optimizer)

    def before_train(self, runner: Run) -> None:
        # A resumed run may measure before it steps, with what its last step set.
        if runner.iter:
            self._set(runner, 1)

    def before_train_iter(self, runner: Run, *_: Any, **__: Any) -> None:
        runner.scalars.add({self.name: float(self._set(runner))})

    def _set(self, runner: Run, before: int = 0) -> Value:
        """Set what belongs to the step so many before this one; the first of the values."""
        shape = SHAPES[self.shape]
        length = self.length(len(runner.train_dataloader)) or runner.length
        step = (runner.position if self.iters is None else runner.iter) - before
        values = [shape(bound.start, self.end, step, length) for bound in self._bound]
        for bound, value in zip(self._bound, values, strict=True):
            bound.set(value)
        return values[0]

    def length(self, steps: int) -> int | None:
        """Iterations of the ramp where an epoch has so many ``steps``; None: those of the run."""
        if self.iters is not None or self.epochs is None:
            return self.iters
        return max(round(self.epochs * steps), 1)

    def describe(self) -> str:
        """``teacher.momentum 0.9 to 1 (cosine)``, once it is bound."""
        start = self._bound[0].start if self._bound else self.start
        what = self.path.removeprefix(MODEL).removeprefix(OPTIMIZER)
        over = f" over {self.iters} iterations" if self.iters is not None else ""
        if self.epochs is not None:
            over = f" over {self.epochs:g} epoch{'' if self.epochs == 1 else 's'}"
        if self.shape == "step":
            over = over.replace("over", "after")
        return f"{what} {_shown(start)} to {_shown(self.end)} ({self.shape}{over})"


@dataclass(frozen=True)
class _Bound:
    """Something that a schedule sets: how, what it was, and the schedule's first value."""

    set: Callable[[Value], None]
    value: Any
    start: Any


@dataclass(frozen=True)
class _GroupSetter:
    """Sets an option of one parameter group of an optimiser."""

    optimizer: Optimizer
    group: int
    option: str

    def __call__(self, value: Value) -> None:
        self.optimizer.param_groups[self.group][self.option] = value


def _attributes(owner: Any) -> list[str]:
    """Names of what ``owner`` holds: attributes, parts, and properties."""
    names = set(getattr(owner, "__dict__", ()))
    for kind in type(owner).__mro__:
        names |= {
            name for name, value in vars(kind).items() if isinstance(value, property | Number)
        }
    if isinstance(owner, nn.Module):
        names |= {name for name, _ in owner.named_children()}
    return sorted(name for name in names if not name.startswith("_"))


def _is_fixed(owner: Any, name: str, value: Any) -> bool:
    """Whether it is a number of a part of mvssl that does not mind its range when it is set: sizes
    that buffers have, counts that were checked together with others.
    """
    own = type(owner).__module__.startswith("mvssl.") and not isinstance(owner, _BatchNorm)
    plain = not hasattr(inspect.getattr_static(type(owner), name, None), "__set__")
    return own and plain and is_number(value)


def _is_of_whole_numbers(owner: Any, name: str) -> bool:
    """Whether the constructor says so: a value alone may be a number that happens to be whole."""
    try:
        parameter = inspect.signature(type(owner)).parameters.get(name)
    except ValueError:
        return False  # a built-in type says nothing
    return parameter is not None and parameter.annotation in (int, "int", "int | None")


def _near(name: str, known: Sequence[str]) -> str:
    """What is like ``name``, else all that is known, as the end of a sentence."""
    return near_names(name, known, f"; it has {', '.join(known[:12])}." if known else ".")


def _shown(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )
