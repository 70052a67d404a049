"""Numbers of a method that a small data set cannot fill: prototypes, clusters, queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from mvssl.arguments import is_integer

__all__ = ["Fitted", "fit_to_data", "put_back"]

PROTOTYPES = ("num_prototypes", "num_clusters")
QUEUE = "queue_size"
IMAGES_EACH = 10
"""Images for each prototype, at least: a cluster of an image or two says nothing of others."""
FEWEST = 16
"""Prototypes of few images, where there are as many images."""


class Fitted(NamedTuple):
    """What was lowered, by its path in the config, and sentences about it."""

    values: dict[str, Any]
    notes: list[str]


def fit_to_data(cfg: Config, num_samples: int, given: Mapping[str, Any]) -> Fitted:
    """Lower what is more than a data set can fill; the config is changed.

    Prototypes and clusters are at most a tenth of the images, of few images 16. A queue that would
    remember more than the data set without the present batch, so that every image would meet itself
    in it, becomes the largest multiple of the batch that does not (but for one that only balances
    assignments, as SwAV's); one that is no multiple of the batch, the next smaller multiple.

    Args:
        cfg: the config of a run.
        num_samples: images that it is trained on.
        given: what was said on the command line, by path, which is left to the checks.
    """
    fitted = Fitted({}, [])
    model: Any = cfg.get("model")
    loader: Any = cfg.get("train_dataloader")
    batch: Any = loader.get("batch_size") if isinstance(loader, Mapping) else None
    if not isinstance(model, Mapping) or not is_integer(batch) or not 0 < batch <= num_samples:
        return fitted
    for owner, way, key in _numbers(model, "model"):
        path, value = f"{way}.{key}", owner[key]
        if any(f"{path}.".startswith(f"{one}.") for one in given):
            continue
        # In a queue that an assigner balances with the batch an image may stand more than once.
        most = None if "assigner" in owner else num_samples
        least = _queue(value, most, batch) if key == QUEUE else _fewer(value, num_samples)
        if least != value:
            owner[key] = fitted.values[path] = least
            what = f"{num_samples} images" + f" in batches of {batch}" * (key == QUEUE)
            fitted.notes.append(f"note: {path} is {least}, not {value}, to fit {what}.")
    return fitted


def put_back(cfg: Config, values: Mapping[str, Any]) -> None:
    """Give a config what had been fitted, where it still has such a value."""
    for path, value in values.items():
        *way, key = path.split(".")
        owner: Any = cfg
        for part in way:
            owner = owner.get(part) if isinstance(owner, Mapping | Config) else None
        if key in (owner or {}):
            owner[key] = value


def _numbers(node: Any, where: str) -> Iterator[tuple[Any, str, str]]:
    if isinstance(node, Mapping):
        for key, inner in node.items():
            if key in (*PROTOTYPES, QUEUE):
                yield node, where, key
            else:
                yield from _numbers(inner, f"{where}.{key}")


def _fewer(value: Any, num_samples: int) -> Any:
    if isinstance(value, list | tuple):
        return [_fewer(one, num_samples) for one in value]
    most = max(num_samples // IMAGES_EACH, min(num_samples, FEWEST))
    return most if is_integer(value) and value > most else value


def _queue(value: Any, most: int | None, batch: int) -> Any:
    """As many as are remembered: less than ``most``, if given, and whole batches."""
    if not is_integer(value) or value <= 0:
        return value
    kept = value if most is None or value <= most else max(most - batch, batch)
    return max(kept // batch, 1) * batch
