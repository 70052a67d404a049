from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from mmengine import registry as mmengine_registry
from mmengine.registry import Registry as MMRegistry

from mvssl import registry
from mvssl.errors import UserError
from mvssl.registry import BACKBONES, HEADS, NECKS, OPTIMIZERS, Registry, build_part

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


@pytest.fixture
def elsewhere() -> Iterator[MMRegistry]:
    root = mmengine_registry.MODELS
    child = MMRegistry("model", parent=root, scope="elsewhere")
    yield child
    root.children.pop("elsewhere")


@pytest.mark.parametrize("slot", [BACKBONES, NECKS, HEADS, registry.MODELS], ids=lambda r: r.name)
def test_a_scoped_name_falls_back_to_the_models_of_mmengine(
    elsewhere: MMRegistry, slot: Registry
) -> None:
    @elsewhere.register_module()
    class Thing:
        def __init__(self, size: int) -> None:
            self.size = size

    built = slot.build({"type": "elsewhere.Thing", "size": 3})
    assert isinstance(built, Thing)
    assert built.size == 3
    with pytest.raises(UserError, match=f"registry {slot.name}"):
        slot.build({"type": "elsewhere.Thong"})


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
    given = build_part(sizes, {"type": "Sized", "in_channels": 5, "depth": 2}, in_channels=7)
    assert (given.in_channels, given.depth) == (5, 2)


def test_every_registry_holds_its_name_and_a_scope() -> None:
    assert {one.scope for one in ALL} == {"mvssl"}
    assert [name for name in registry.__all__ if name.isupper()] == sorted(
        name for name, value in vars(registry).items() if isinstance(value, Registry)
    )


@pytest.mark.parametrize("component", _own_components())
def test_constructors_take_no_catch_all(component: Any) -> None:
    kinds = {p.kind for p in inspect.signature(component).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.Parameter.VAR_POSITIONAL not in kinds
