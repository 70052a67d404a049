"""Every registry of mvssl: a config names a component, its registry builds it.

Slots of the model (backbone, neck, head, loss, assigner, target) and evaluators have registries
of their own without a parent, since mmengine allows one child of a scope under each parent;
everything that mmengine's Runner builds (hooks, data sets, ...) is registered in a child of
mmengine's registry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry as MMRegistry

from mvssl.errors import UserError, either, near_names

__all__ = [
    "ASSIGNERS",
    "BACKBONES",
    "DATASETS",
    "DATA_SAMPLERS",
    "EVALUATORS",
    "HEADS",
    "HOOKS",
    "LOOPS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "NECKS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS",
    "Registry",
    "TARGETS",
    "TRANSFORMS",
    "VISBACKENDS",
    "VISUALIZERS",
    "build_part",
]


class Registry(MMRegistry):
    """mmengine's registry with an error that helps: near names, and how to register one's own."""

    def resolve(self, name: str) -> Callable[..., Any]:
        """The class or function that ``name`` stands for.

        Names with a scope (``mmpretrain.ResNet``) that are not found here are looked up under
        mmengine's ``MODELS``.

        Raises:
            UserError: nothing of that name is registered; the message lists near names.
        """
        found = self.get(name)
        if found is None and "." in name:
            found = mmengine_registry.MODELS.get(name)
        if found is None:
            raise UserError(self._miss(name))
        return found

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(cfg, dict) and isinstance(cfg.get("type"), str):
            cfg = {**cfg, "type": self.resolve(cfg["type"])}
        return super().build(cfg, *args, **kwargs)

    def known_names(self) -> list[str]:
        """All names that can be built here, those of mmengine's parent registry included."""
        self.import_from_location()
        names = set(self.module_dict)
        if self.parent is not None:
            self.parent.import_from_location()
            names |= set(self.parent.module_dict)
        return sorted(names)

    def _miss(self, name: str) -> str:
        # Own names come first: mmengine's parents hold hundreds (all of torch's optimisers, say).
        own, known = sorted(self.module_dict), self.known_names()
        hint = near_names(name, known, f"; it holds {either(own or known)}.")
        return (
            f"'{name}' is not in the registry {self.name}{hint} To add your own, decorate it "
            f"with @{self.name}.register_module() (from mvssl.registry) and list its module in "
            f"custom_imports."
        )


def _slot(name: str, location: str) -> Registry:
    return Registry(name, scope="mvssl", locations=[location])


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(name, parent=parent, scope="mvssl", locations=[*locations])


BACKBONES = _slot("BACKBONES", "mvssl.models")
NECKS = _slot("NECKS", "mvssl.models")
HEADS = _slot("HEADS", "mvssl.models")
LOSSES = _slot("LOSSES", "mvssl.models")
ASSIGNERS = _slot("ASSIGNERS", "mvssl.models")
TARGETS = _slot("TARGETS", "mvssl.models")
EVALUATORS = _slot("EVALUATORS", "mvssl.evaluation")

MODELS = _child("MODELS", "mvssl.models", "mvssl.views")
DATASETS = _child("DATASETS", "mvssl.datasets")
DATA_SAMPLERS = _child("DATA_SAMPLERS", "mvssl.datasets")
TRANSFORMS = _child("TRANSFORMS", "mvssl.views")
HOOKS = _child("HOOKS", "mvssl.engine")
LOOPS = _child("LOOPS", "mvssl.engine")
METRICS = _child("METRICS", "mvssl.evaluation")
OPTIMIZERS = _child("OPTIMIZERS", "mvssl.engine")
OPTIM_WRAPPERS = _child("OPTIM_WRAPPERS", "mvssl.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child("OPTIM_WRAPPER_CONSTRUCTORS", "mvssl.engine")
PARAM_SCHEDULERS = _child("PARAM_SCHEDULERS", "mvssl.engine")
VISUALIZERS = _child("VISUALIZERS", "mvssl.engine")
VISBACKENDS = _child("VISBACKENDS", "mvssl.engine")


def build_part(registry: Registry, cfg: dict[str, Any], **known: Any) -> Any:
    """Build a component and hand it the sizes that its neighbours already know.

    ``known`` holds what the model can read off (``in_channels`` of a neck, say); a constructor
    gets those that it takes and the config does not give, so that no size is written twice.
    """
    accepted = inspect.signature(registry.resolve(cfg["type"])).parameters
    return registry.build({**{k: v for k, v in known.items() if k in accepted}, **cfg})
