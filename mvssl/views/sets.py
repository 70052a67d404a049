"""The view sets of published methods: functions of the size, by name in ``VIEW_SETS``.

A set of one's own is such a function, decorated with ``@VIEW_SETS.register_module()``. Sets of
large and small crops take ``local_size``, the side of the small ones in pixels; sets of equal views
``num_views``, their number.
"""

from __future__ import annotations

from dataclasses import replace

from mvssl.arguments import check_count
from mvssl.registry import VIEW_SETS
from mvssl.views.view import View

MOST_VIEWS = 1000


def _equal_views(view: View, number: int) -> list[View]:
    check_count("views", 1, MOST_VIEWS, num_views=number)
    return [view] * number


def _local_size(size: int) -> int:
    """Side of local crops: 96 px where the global side is 224 (SwAV, DINO), a multiple of 8."""
    return max(16, 8 * round(size * 96 / 224 / 8))


def _local_views(view: View, number: int, local_size: int | None) -> list[View]:
    check_count("views", 0, MOST_VIEWS, num_local=number)
    return [view if local_size is None else view.but(size=local_size)] * number


@VIEW_SETS.register_module(name=["byol", "barlowtwins", "mocov3", "vicreg"])
def byol(size: int) -> list[View]:
    """BYOL (Grill et al., 2020), table 6: two views that differ in blur and solarisation.

    Barlow Twins (Zbontar et al., 2021), VICReg (Bardes et al., 2022, as its authors' code) and the
    ViTs of MoCo v3 (Chen et al., 2021) take the same; MoCo v3's ResNets crop from 0.2 on.
    """
    first = View.flat(
        size,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        jitter_prob=0.8,
        gray=0.2,
        blur=1.0,
    )
    return [first, first.but(blur=0.1, solarize=0.2)]


@VIEW_SETS.register_module()
def simclr(size: int, num_views: int = 2) -> list[View]:
    """SimCLR (Chen et al., 2020), appendix A, at colour strength 1: equal views, 2 there."""
    view = View.flat(
        size,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        jitter_prob=0.8,
        gray=0.2,
        blur=0.5,
    )
    return _equal_views(view, num_views)


@VIEW_SETS.register_module(name=["moco", "simsiam"])
def moco(size: int, num_views: int = 2) -> list[View]:
    """MoCo v2 (Chen et al., 2020, arXiv 2003.04297, as its authors' code): equal views, 2 there.

    SimSiam (Chen & He, 2021), appendix A, takes the same.
    """
    view = View.flat(
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
    return _equal_views(view, num_views)


@VIEW_SETS.register_module()
def ressl(size: int) -> list[View]:
    """ReSSL (Zheng et al., 2021, as its authors' code): a weak view first, for the teacher, then
    MoCo v2's.
    """
    return [View.flat(size, crop_scale=(0.2, 1.0)), moco(size)[1]]


@VIEW_SETS.register_module()
def instance(size: int) -> list[View]:
    """Instance discrimination (Wu et al., 2018, as its authors' code): one view.

    There greyscale comes before the colour jitter, here after it.
    """
    view = View.flat(
        size,
        crop_scale=(0.2, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.4,
        gray=0.2,
    )
    return [view]


@VIEW_SETS.register_module()
def deepcluster(size: int) -> list[View]:
    """DeepCluster (Caron et al., 2018): one view, crop and flip alone.

    The paper's networks see edges instead of colours: ``color_space='sobel'``.
    """
    return [View.flat(size)]


@VIEW_SETS.register_module()
def cmc(size: int) -> list[View]:
    """CMC (Tian et al., 2020): lightness and colour of one crop, for ``color_space='lab'``.

    Both modalities come from the same crop, as in the authors' code, which splits L*a*b* after
    cropping and flipping.
    """
    lightness = View.flat(size, crop_scale=(0.2, 1.0), channels=(0,))
    return [lightness, replace(lightness, channels=(1, 2), draw_as=0)]


@VIEW_SETS.register_module()
def dino(size: int, num_local: int = 8, local_size: int | None = None) -> list[View]:
    """DINO (Caron et al., 2021, as its authors' code): 2 global and ``num_local`` local
    crops, 8 there.

    Colours are BYOL's; the global views differ in blur and solarisation as there.
    """
    large = [view.but(crop_scale=(0.4, 1.0)) for view in byol(size)]
    local = large[0].but(size=_local_size(size), crop_scale=(0.05, 0.4), blur=0.5)
    return large + _local_views(local, num_local, local_size)


@VIEW_SETS.register_module()
def dino_conv(size: int, num_local: int = 8, local_size: int | None = None) -> list[View]:
    """DINO's views for convolutional networks, as its authors' command for a ResNet-50: of
    ``dino``, with the scales of SwAV's crops.
    """
    views = dino(size, num_local, local_size)
    large = [view.but(crop_scale=(0.14, 1.0)) for view in views[:2]]
    local = [view.but(crop_scale=(0.05, 0.14)) for view in views[2:]]
    return large + local


@VIEW_SETS.register_module()
def swav(size: int, num_local: int = 6, local_size: int | None = None) -> list[View]:
    """SwAV (Caron et al., 2020, as its authors' code): 2 global and ``num_local`` local
    crops, 6 there.

    Colours and blur are SimCLR's for all; DeepCluster v2 (same paper) takes the same.
    """
    large = simclr(size)[0].but(crop_scale=(0.14, 1.0))
    local = large.but(size=_local_size(size), crop_scale=(0.05, 0.14))
    return [large] * 2 + _local_views(local, num_local, local_size)


@VIEW_SETS.register_module()
def lejepa(size: int, num_local: int = 6, local_size: int | None = None) -> list[View]:
    """LeJEPA (Balestriero & LeCun, 2025, arXiv 2511.08544, as its authors' code): 2 global
    and ``num_local`` local crops, 6 there.

    Colour strengths are BYOL's, blur 0.5 and solarisation 0.2 the same for all views. Local crops
    there have 98 px for 224, for patches of 14.
    """
    large = byol(size)[0].but(crop_scale=(0.3, 1.0), blur=0.5, solarize=0.2)
    local = large.but(size=_local_size(size), crop_scale=(0.05, 0.3))
    return [large] * 2 + _local_views(local, num_local, local_size)


@VIEW_SETS.register_module()
def cifar(size: int, num_views: int = 2) -> list[View]:
    """SimCLR's views on CIFAR-10 (Chen et al., 2020, appendix B.9): half its colour strength and no
    blur, for images of 32 pixels.
    """
    (view,) = cifar_one(size)
    return _equal_views(view, num_views)


@VIEW_SETS.register_module()
def cifar_one(size: int) -> list[View]:
    """One view of ``cifar``, for methods that look at a single view."""
    strong = simclr(size)[0]
    return [strong.but(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, blur=0)]


@VIEW_SETS.register_module()
def cifar_weak_strong(size: int) -> list[View]:
    """The weak view of ``ressl``, for the teacher, then one of ``cifar``."""
    return [ressl(size)[0], *cifar_one(size)]


@VIEW_SETS.register_module()
def cifar_multicrop(size: int, local_size: int | None = None) -> list[View]:
    """The two views of ``cifar`` and four local ones of half their size."""
    large = cifar_one(size)[0].but(crop_scale=(0.3, 1.0))
    local = large.but(size=size // 2, crop_scale=(0.1, 0.3))
    return [large] * 2 + _local_views(local, 4, local_size)


@VIEW_SETS.register_module()
def gentle(size: int, num_views: int = 2) -> list[View]:
    """Equal views for digits and other signs: what would change their meaning is off."""
    (view,) = gentle_one(size)
    return _equal_views(view, num_views)


@VIEW_SETS.register_module()
def gentle_one(size: int) -> list[View]:
    """One view of ``gentle``, for methods that look at a single view."""
    return [View.flat(size, crop_scale=(0.3, 1.0), flip=0.0, brightness=0.4, contrast=0.4)]


@VIEW_SETS.register_module()
def gentle_weak_strong(size: int) -> list[View]:
    """The views of ``gentle``, the first of them, for the teacher, weak: cropped alone."""
    weak = View.flat(size, crop_scale=(0.3, 1.0), flip=0.0)
    return [weak, *gentle_one(size)]


@VIEW_SETS.register_module()
def gentle_multicrop(size: int, local_size: int | None = None) -> list[View]:
    """The two views of ``gentle`` and four local ones of half their size."""
    (large,) = gentle_one(size)
    local = large.but(size=size // 2, crop_scale=(0.15, 0.4))
    return [large] * 2 + _local_views(local, 4, local_size)


@VIEW_SETS.register_module()
def gentle_cmc(size: int) -> list[View]:
    """The views of ``gentle``, the first channel of one and the other two of the other.

    Digits are grey and have no colour in L*a*b*: ``color_space='sobel'`` gives grey value and
    edges instead. Edges follow from the grey values pixel by pixel, so of one crop they would share
    everything; of two crops they share the digit.
    """
    first, second = gentle(size)
    return [
        replace(first, channels=(0,)),
        replace(second, channels=(1, 2)),
    ]


FOR_DIGITS = (gentle, gentle_one, gentle_weak_strong, gentle_multicrop, gentle_cmc)
"""Sets that leave a sign what it means, and are too mild for photographs."""
