from __future__ import annotations

import inspect
from typing import Any

import pytest

from mvssl import registry
from mvssl.errors import ComponentError, UserError
from mvssl.registry import BACKBONES, HEADS, OPTIMIZERS, Checked, Registry, build_part

ALL = [value for value in vars(registry).values() if isinstance(value, Registry)]


def _own_components() -> list[Any]:
    found = []
    for one in ALL:
        one.import_from_location()
        for name, component in sorted(one.module_dict.items()):
            if component.__module__.startswith("mvssl."):
                found.append(pytest.param(component, id=f"{one.name}.{name}"))
    return found


def test_a_miss_names_the_registry_near_names_and_the_way_to_register() -> None:
    with pytest.raises(UserError) as caught:
        HEADS.build({"type": "ErHaed"})
    told = str(caught.value)
    assert "'ErHaed' is not in the registry HEADS" in told
    assert "did you mean 'ERHead'" in told
    assert "@HEADS.register_module()" in told
    assert "custom_imports" in told


def test_a_miss_with_nothing_near_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"it holds .*'ERHead'.*'PairHead'"):
        HEADS.build({"type": "xyzzy"})


def test_near_names_of_a_child_registry_include_those_of_its_parent() -> None:
    with pytest.raises(UserError, match=r"registry OPTIMIZERS; did you mean .*'AdamW'"):
        OPTIMIZERS.build({"type": "AdmaW", "params": []})


def test_a_scope_that_is_not_installed_is_told_as_a_miss() -> None:
    with pytest.raises(UserError, match=r"'nowhere\.ResNet' is not in the registry BACKBONES"):
        BACKBONES.build({"type": "nowhere.ResNet"})


class _Sized:
    def __init__(self, in_channels: int, depth: int = 1) -> None:
        self.in_channels = in_channels
        self.depth = depth


def test_build_part_fills_in_what_is_known_and_leaves_what_is_given() -> None:
    sizes = Registry("sizes", scope="mvssl", locations=[])
    sizes.register_module(name="Sized", module=_Sized)
    filled = build_part(sizes, {"type": "Sized"}, in_channels=7, out_channels=9)
    assert (filled.in_channels, filled.depth) == (7, 1)
    kind = sizes.find("Sized")
    assert sizes.find(kind) is kind  # a config may hold the class itself
    assert vars(build_part(sizes, {"type": kind}, in_channels=7)) == vars(filled)
    with pytest.raises(UserError, match="type is the name of a component, got 3"):
        sizes.find(3)  # type: ignore[arg-type]
    given = build_part(sizes, {"type": "Sized", "in_channels": 5, "depth": 2}, in_channels=7)
    assert (given.in_channels, given.depth) == (5, 2)


class _Part(Checked):
    def __init__(self, width: int = 1, fault: type[Exception] | None = None) -> None:
        self.width = width
        if fault is not None:
            raise fault("of  its\nown")

    def check_built(self) -> None:
        if self.width < 1:
            raise UserError("_Part: width is at least 1.")


class _Twice(_Part):
    """Builds a part inside, and sets after its constructor what the base looks at."""

    def __init__(self, parts: Registry, part: dict[str, Any], width: int = 1) -> None:
        super().__init__(0)
        self.part = parts.build(part)
        self.width = width


def _stranger() -> list[int]:
    return [1]


@pytest.fixture
def parts() -> Registry:
    registry = Registry("PARTS", scope="mvssl", locations=[])
    registry.base_class(_Part)
    for component in (_Part, _Twice, _stranger):
        registry.register_module(module=component)
    return registry


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ValueError, "_Part: of its own"),
        (AssertionError, "_Part: of its own"),
        (TypeError, "_Part: TypeError: of its own"),
        (IndexError, "_Part: IndexError: of its own"),
    ],
)
def test_what_a_constructor_raises_is_told_with_the_innermost_name(
    parts: Registry, fault: type[Exception], told: str
) -> None:
    inner = {"type": "_Part", "fault": fault}
    with pytest.raises(ComponentError) as caught:
        parts.build({"type": "_Twice", "parts": parts, "part": inner})
    assert str(caught.value) == told
    assert type(caught.value.__cause__) is fault


def test_what_a_component_tells_itself_is_left_as_it_is(parts: Registry) -> None:
    with pytest.raises(UserError, match=r"^of  its\\nown$") as caught:
        parts.build({"type": "_Part", "fault": UserError})
    assert not isinstance(caught.value, ComponentError)


def test_what_is_not_derived_from_the_base_is_refused(parts: Registry) -> None:
    with pytest.raises(
        ComponentError,
        match=r"^_stranger: list is not derived from tests\.test_registry\._Part; see docs/custom_",
    ):
        parts.build({"type": "_stranger"})


def test_a_component_looks_itself_over_once_it_is_complete(parts: Registry) -> None:
    inner = {"type": "_Part"}
    assert parts.build({"type": "_Twice", "parts": parts, "part": inner, "width": 2}).width == 2
    with pytest.raises(UserError, match="width is at least 1"):
        parts.build({"type": "_Twice", "parts": parts, "part": inner, "width": 0})


@pytest.mark.parametrize(
    "slot", ["BACKBONES", "NECKS", "HEADS", "LOSSES", "ASSIGNERS", "TARGETS", "DATASETS", "HOOKS"]
)
def test_slots_have_a_base_class_from_which_all_that_is_registered_is_derived(slot: str) -> None:
    one: Registry = getattr(registry, slot)
    one.import_from_location()
    assert one.base is not None
    assert all(issubclass(kind, one.base) for kind in one.module_dict.values())


def test_every_registry_holds_its_name_and_a_scope() -> None:
    assert {one.scope for one in ALL} == {"mvssl"}
    found = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}
    assert set(found) <= set(registry.__all__)
    assert all(one.name == name for name, one in found.items())


@pytest.mark.parametrize("component", _own_components())
def test_constructors_take_no_catch_all(component: Any) -> None:
    kinds = {p.kind for p in inspect.signature(component).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
