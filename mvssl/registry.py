"""Every registry of mvssl: a config names a component, its registry builds it.

Slots of the model (backbone, neck, head, loss, assigner, target), evaluators, and the parts of
views have registries of their own without a parent, since mmengine allows one child of a scope
under each parent; everything that mmengine's Runner builds (hooks, data sets, ...) is registered
in a child of mmengine's registry.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry as MMRegistry

from mvssl.errors import ComponentError, UserError
from mvssl.words import each, in_words, near_names, shown

__all__ = [
    "ASSIGNERS",
    "BACKBONES",
    "Checked",
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
    "VIEW_OPS",
    "VIEW_SETS",
    "VISBACKENDS",
    "VISUALIZERS",
    "build_part",
    "public_name",
]

B = TypeVar("B", bound=type)


class Checked(ABC):
    """A component that looks itself over once it is built, when the constructors of all classes
    derived from its base are through.
    """

    @abstractmethod
    def check_built(self) -> None:
        """Raises a UserError where it lacks what its neighbours read."""


class Registry(MMRegistry):
    """mmengine's registry with errors that help: near names, how to register one's own, which
    component raised something, and what cannot work in its place.

    Attributes:
        base: the class from which every component of this registry is derived; None where it may
            be anything.
    """

    base: type | None = None

    def base_class(self, cls: B) -> B:
        """Decorates the class from which every component of this registry is derived."""
        self.base = cls
        return cls

    def find(self, name: str | Callable[..., Any]) -> Callable[..., Any]:
        """The class or function that ``name`` stands for; a config may also hold it itself.

        Raises:
            UserError: nothing of that name is registered; the message lists near names. Or it is
                no name.
        """
        if callable(name):
            return name
        if not isinstance(name, str):
            raise UserError(f"type is the name of a component, got {shown(name)}.")
        found = self.get(name)
        if found is None:
            raise UserError(self._miss(name))
        return found

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """The component that ``cfg`` describes.

        Raises:
            UserError: there is none of that name, or it refuses its arguments.
            ComponentError: it raised something else (``__cause__``), or is of the wrong kind.
        """
        if isinstance(cfg, dict) and isinstance(cfg.get("type"), str):
            cfg = {**cfg, "type": self.find(cfg["type"])}
        kind = cfg.get("type") if isinstance(cfg, dict) else None
        named = f"{kind.__name__}: " if inspect.isroutine(kind) or isinstance(kind, type) else ""
        try:
            built = super().build(cfg, *args, **kwargs)
        except UserError:  # has named itself, or is a part that was built inside
            raise
        except Exception as error:  # whatever a component raises is a fault of its config
            raise ComponentError(f"{named}{in_words(error)}") from error
        if self.base is not None and not isinstance(built, self.base):
            raise ComponentError(
                f"{named}{type(built).__name__} is not derived from {public_name(self.base)}; see "
                f"docs/custom_component.md."
            )
        if isinstance(built, Checked):
            built.check_built()
        return built

    def known_names(self) -> list[str]:
        """All names that can be built here, those of mmengine's parent registry included."""
        self.import_from_location()
        names = set(self.module_dict)
        if self.parent is not None:
            self.parent.import_from_location()
            names |= set(self.parent.module_dict)
        return sorted(names)

    def _miss(self, name: str) -> str:
        own, known = sorted(self.module_dict), self.known_names()
        listed = [*own, *(one for one in known if one not in own)]
        hint = near_names(name, known, f"; it holds {each(listed, 20)}.")
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
VIEW_OPS = _slot("VIEW_OPS", "mvssl.views")
VIEW_SETS = _slot("VIEW_SETS", "mvssl.views")
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


def public_name(base: type) -> str:
    """Where a user imports a base class from: ``mvssl.models.heads.Head``."""
    return f"{base.__module__.removesuffix('.base')}.{base.__name__}"


def build_part(registry: Registry, cfg: dict[str, Any], **known: Any) -> Any:
    """Build a component and hand it the sizes that its neighbours already know.

    ``known`` holds what the model can read off (``in_channels`` of a neck, say); a constructor
    gets those that it takes and the config does not give, so that no size is written twice.
    """
    accepted = inspect.signature(registry.find(cfg["type"])).parameters
    return registry.build({**{k: v for k, v in known.items() if k in accepted}, **cfg})
