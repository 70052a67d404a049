"""The view sets of published methods, and how a config names or describes views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mvssl.errors import UserError, near_names
from mvssl.views.view_spec import View

__all__ = ["VIEW_SETS", "View", "build_views"]


def _local_size(size: int) -> int:
    """Side of local crops: 96 px where the global side is 224 (SwAV, DINO), a multiple of 8."""
    return max(16, 8 * round(size * 96 / 224 / 8))


def _byol(size: int) -> list[View]:
    """BYOL (Grill et al., 2020), table 6: two views that differ in blur and solarisation.

    Barlow Twins (Zbontar et al., 2021), VICReg (Bardes et al., 2022, as its authors' code) and the
    ViTs of MoCo v3 (Chen et al., 2021) take the same; MoCo v3's ResNets crop from 0.2 on.
    """
    first = View(
        size,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        jitter_prob=0.8,
        gray=0.2,
        blur=1.0,
    )
    return [first, dataclasses.replace(first, blur=0.1, solarize=0.2)]


def _simclr(size: int) -> list[View]:
    """SimCLR (Chen et al., 2020), appendix A, at colour strength 1: two equal views."""
    view = View(
        size,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        jitter_prob=0.8,
        gray=0.2,
        blur=0.5,
    )
    return [view, view]


def _moco(size: int) -> list[View]:
    """MoCo v2 (Chen et al., 2020, arXiv 2003.04297, as its authors' code): two equal views.

    SimSiam (Chen & He, 2021), appendix A, takes the same.
    """
    view = View(
        size,
        crop_scale=(0.2, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        jitter_prob=0.8,
        gray=0.2,
        blur=0.5,
    )
    return [view, view]


def _ressl(size: int) -> list[View]:
    """ReSSL (Zheng et al., 2021, as its authors' code): a weak view first, for the teacher, then
    MoCo v2's.
    """
    return [View(size, crop_scale=(0.2, 1.0)), _moco(size)[1]]


def _instance(size: int) -> list[View]:
    """Instance discrimination (Wu et al., 2018, as its authors' code): one view.

    There greyscale comes before the colour jitter, here after it.
    """
    view = View(
        size,
        crop_scale=(0.2, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.4,
        gray=0.2,
    )
    return [view]


def _deepcluster(size: int) -> list[View]:
    """DeepCluster (Caron et al., 2018): one view, crop and flip alone.

    The paper's networks see edges instead of colours: ``color_space='sobel'``.
    """
    return [View(size)]


def _cmc(size: int) -> list[View]:
    """CMC (Tian et al., 2020): lightness and colour of one crop, for ``color_space='lab'``.

    Both modalities come from the same crop, as in the authors' code, which splits L*a*b* after
    cropping and flipping.
    """
    lightness = View(size, crop_scale=(0.2, 1.0), channels=(0,))
    return [lightness, dataclasses.replace(lightness, channels=(1, 2), draw_as=0)]


def _dino(size: int) -> list[View]:
    """DINO (Caron et al., 2021, as its authors' code): 2 global and 8 local crops.

    Colours are BYOL's; the global views differ in blur and solarisation as there.
    """
    large = [dataclasses.replace(view, crop_scale=(0.4, 1.0)) for view in _byol(size)]
    local = dataclasses.replace(large[0], size=_local_size(size), crop_scale=(0.05, 0.4), blur=0.5)
    return large + [local] * 8


def _dino_conv(size: int) -> list[View]:
    """DINO's views for convolutional networks, as its authors' command for a ResNet-50: of
    ``dino``, with the scales of SwAV's crops.
    """
    views = _dino(size)
    large = [dataclasses.replace(view, crop_scale=(0.14, 1.0)) for view in views[:2]]
    local = [dataclasses.replace(view, crop_scale=(0.05, 0.14)) for view in views[2:]]
    return large + local


def _swav(size: int) -> list[View]:
    """SwAV (Caron et al., 2020, as its authors' code): 2 global and 6 local crops.

    Colours and blur are SimCLR's for all; DeepCluster v2 (same paper) takes the same.
    """
    large = dataclasses.replace(_simclr(size)[0], crop_scale=(0.14, 1.0))
    local = dataclasses.replace(large, size=_local_size(size), crop_scale=(0.05, 0.14))
    return [large] * 2 + [local] * 6


def _lejepa(size: int) -> list[View]:
    """LeJEPA (Balestriero & LeCun, 2025, arXiv 2511.08544, as its authors' code): 2 global and 6
    local crops.

    Colour strengths are BYOL's, blur 0.5 and solarisation 0.2 the same for all views. Local crops
    there have 98 px for 224, for patches of 14.
    """
    large = dataclasses.replace(_byol(size)[0], crop_scale=(0.3, 1.0), blur=0.5, solarize=0.2)
    local = dataclasses.replace(large, size=_local_size(size), crop_scale=(0.05, 0.3))
    return [large] * 2 + [local] * 6


def _gentle(size: int) -> list[View]:
    """Two equal views for digits and other signs: what would change their meaning is off."""
    return _gentle_one(size) * 2


def _gentle_one(size: int) -> list[View]:
    """One view of ``gentle``, for methods that look at a single view."""
    return [View(size, crop_scale=(0.3, 1.0), flip=0.0, brightness=0.4, contrast=0.4)]


def _gentle_multicrop(size: int) -> list[View]:
    """The two views of ``gentle`` and four local ones of half their size."""
    (large,) = _gentle_one(size)
    local = dataclasses.replace(large, size=size // 2, crop_scale=(0.15, 0.4))
    return [large] * 2 + [local] * 4


def _gentle_cmc(size: int) -> list[View]:
    """The views of ``gentle``, the first channel of one and the other two of the other.

    Digits are grey and have no colour in L*a*b*: ``color_space='sobel'`` gives grey value and
    edges instead. Edges follow from the grey values pixel by pixel, so of one crop they would share
    everything; of two crops they share the digit.
    """
    first, second = _gentle(size)
    return [
        dataclasses.replace(first, channels=(0,)),
        dataclasses.replace(second, channels=(1, 2)),
    ]


VIEW_SETS: dict[str, Callable[[int], list[View]]] = {
    "barlowtwins": _byol,
    "byol": _byol,
    "cmc": _cmc,
    "deepcluster": _deepcluster,
    "dino": _dino,
    "dino_conv": _dino_conv,
    "gentle": _gentle,
    "gentle_cmc": _gentle_cmc,
    "gentle_multicrop": _gentle_multicrop,
    "gentle_one": _gentle_one,
    "instance": _instance,
    "lejepa": _lejepa,
    "moco": _moco,
    "mocov3": _byol,
    "ressl": _ressl,
    "simclr": _simclr,
    "simsiam": _moco,
    "swav": _swav,
    "vicreg": _byol,
}
"""View sets by name: a function from the (global) size in pixels to the list of views."""


def _check_draws(views: Sequence[View]) -> None:
    """That every ``draw_as`` names a view which has random numbers of its own."""
    for number, view in enumerate(views):
        if view.draw_as is None:
            continue
        if view.draw_as >= len(views) or views[view.draw_as].draw_as is not None:
            raise UserError(
                f"views[{number}].draw_as is {view.draw_as}, but that is no view (from 0 to "
                f"{len(views) - 1}) with random numbers of its own."
            )


def _view_from_dict(number: int, spec: Mapping[str, Any], size: int) -> View:
    known = [field.name for field in dataclasses.fields(View)]
    for name in spec:
        if name not in known:
            near, listed = near_names(str(name), known), ", ".join(sorted(known))
            raise UserError(f"views[{number}]: a view has no {name!r}{near} Known: {listed}.")
    return View(**{"size": size, **spec})


def build_views(views: str | Sequence[Mapping[str, Any]], size: int) -> list[View]:
    """Makes the list of views from a config: the name of a view set, or one dict per view.

    Args:
        views: A key of ``VIEW_SETS``, or dicts of ``View``'s arguments.
        size: Side in pixels, for every view that does not state its own.

    Raises:
        UserError: The name, an argument or a value is not known.
    """
    if isinstance(views, str):
        if views not in VIEW_SETS:
            near, listed = near_names(views, VIEW_SETS), ", ".join(sorted(VIEW_SETS))
            raise UserError(f"There is no view set {views!r}{near} Known: {listed}.")
        return VIEW_SETS[views](size)
    if not views or not all(isinstance(spec, Mapping) for spec in views):
        raise UserError(
            f"views must be the name of a view set ({', '.join(sorted(VIEW_SETS))}) "
            f"or a list of dicts, one per view, not {views!r}."
        )
    built = [_view_from_dict(number, spec, size) for number, spec in enumerate(views)]
    _check_draws(built)
    return built
