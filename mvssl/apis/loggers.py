"""The visualizer of a config, tried before anything is written."""

from __future__ import annotations

import copy
import importlib
import tempfile
from collections.abc import Mapping
from typing import Any

from mmengine.visualization import Visualizer

from mvssl.errors import UserError
from mvssl.registry import VISBACKENDS, VISUALIZERS
from mvssl.words import shown

__all__ = ["try_visualizer"]

# What mmengine's loggers import once they write for the first time.
PACKAGES = {
    "AimVisBackend": "aim",
    "ClearMLVisBackend": "clearml",
    "DVCLiveVisBackend": "dvclive",
    "MLflowVisBackend": "mlflow",
    "NeptuneVisBackend": "neptune",
    "TensorboardVisBackend": "torch.utils.tensorboard",
    "WandbVisBackend": "wandb",
}
TRIED = "tried"
INSTALLED_AS = {"torch.utils.tensorboard": "tensorboard"}


def try_visualizer(cfg: Mapping[str, Any] | None) -> None:
    """Build a config's visualizer in a folder that is gone afterwards.

    Raises:
        UserError: something is wrong with it, or a package that it needs cannot be imported.
    """
    if not cfg:
        return
    given = cfg.get("vis_backends") or []
    seen = set()
    for number, backend in enumerate([given] if isinstance(given, Mapping) else given):
        if not isinstance(backend, Mapping) or "type" not in backend:
            raise UserError(
                f"visualizer.vis_backends.{number} is a dict with a type, such as "
                f"dict(type='TensorboardVisBackend'), got {shown(backend)}."
            )
        _check_package(f"visualizer.vis_backends.{number}", backend.get("type"))
        name = str(backend.get("name") or backend.get("type"))
        if name in seen:
            raise UserError(
                f"visualizer.vis_backends: there are two of '{name}': leave one out, or give it "
                f"another name (name='second')."
            )
        seen.add(name)
    with tempfile.TemporaryDirectory() as folder:
        VISUALIZERS.build({"save_dir": folder, **copy.deepcopy(dict(cfg)), "name": TRIED})
    Visualizer._instance_dict.pop(TRIED, None)


def _check_package(where: str, named: Any) -> None:
    kind = VISBACKENDS.find(named) if isinstance(named, str) else named
    name = getattr(kind, "__name__", "")
    package = PACKAGES.get(name)
    if package is None:
        return
    try:
        importlib.import_module(package)
    except Exception as error:  # a package that is there may be broken in any way
        installed = INSTALLED_AS.get(package, package)
        raise UserError(
            f"{where}: {name} needs the package {installed}, which cannot be imported "
            f"({' '.join(str(error).split())}): pip install {installed}, or leave this logger out."
        ) from error
