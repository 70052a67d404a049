"""The device engine, operation by operation and as a whole, against torchvision."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvf
from torch import Tensor

from mvssl.views import DeviceViews, Drawn, View, build_views
from mvssl.views.color import brightness_contrast_, grayscale, saturate, shift_hue, solarize
from mvssl.views.ops.blur import num_taps
from mvssl.views.resample import apply_separable, blur_matrices, resize_matrices
from tests.views.drawing import draw

BATCH = 48


def _images(height: int, width: int, batch: int = BATCH) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, height, width), generator=generator)
    images[0], images[1], images[2] = 0, 255, 77  # black, white and grey: no hue
    return images.to(torch.uint8)


def _ids(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    return torch.arange(batch) * 31, torch.arange(batch) % 5


def _torchvision_view(image: Tensor, view: View, drawn: SimpleNamespace, row: int) -> Tensor:
    """One view of one image (3, H, W) by torchvision's own functions."""

    def made(one: Drawn | None) -> bool:
        return one is not None and bool(one["on"][row])

    box = [int(drawn.crop[name][row]) for name in ("top", "left", "height", "width")]
    out = tvf.resized_crop(image / 255, *box, size=[view.size, view.size], antialias=True)
    out = tvf.horizontal_flip(out) if made(drawn.flip) else out
    adjust = (
        lambda x: tvf.adjust_brightness(x, drawn.jitter["brightness"][row]),
        lambda x: tvf.adjust_contrast(x, drawn.jitter["contrast"][row]),
        lambda x: tvf.adjust_saturation(x, drawn.jitter["saturation"][row]),
        lambda x: tvf.adjust_hue(x, drawn.jitter["hue"][row]),
    )
    for change in drawn.jitter["order"][row] if made(drawn.jitter) else ():
        out = adjust[change](out)
    out = tvf.rgb_to_grayscale(out, num_output_channels=3) if made(drawn.gray) else out
    if made(drawn.blur):
        sigma = float(drawn.blur["sigma"][row])
        out = tvf.gaussian_blur(out, [num_taps(view.size)] * 2, [sigma] * 2)
    return tvf.solarize(out, 0.5) if made(drawn.solarize) else out


CASES = {
    "gentle": build_views("gentle", 32),
    "crop only": [View.flat(32, flip=0.5)],
    "jitter without hue": [View.flat(24, brightness=0.8, contrast=0.8, saturation=0.8)],
    "strong hue alone": [View.flat(24, hue=0.5)],
    "blur": [View.flat(40, blur=0.5)],
    "sizes differ": [View.flat(48, gray=0.5), View.flat(7, flip=1.0)],
    "byol": build_views("byol", 32),
    "simclr": build_views("simclr", 64),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(32, 32), (57, 40)])
def test_views_are_torchvisions(case: str, shape: tuple[int, int]) -> None:
    views, seed = CASES[case], 11
    images, (index, epoch) = _images(*shape), _ids()
    made = DeviceViews(views, seed)(images, index, epoch)
    assert len(made) == len(views)
    for number, (view, out) in enumerate(zip(views, made, strict=True)):
        drawn = draw(view, number, seed, epoch.numpy(), index.numpy(), *shape)
        wanted = torch.stack(
            [_torchvision_view(image, view, drawn, row) for row, image in enumerate(images)]
        )
        difference = (out - wanted).abs()
        assert difference.max() < 1e-5


@pytest.mark.parametrize("name", ["byol", "gentle"])
def test_output_is_plain(name: str) -> None:
    images, (index, epoch) = _images(20, 30), _ids()
    before = images.clone()
    for out in DeviceViews(build_views(name, 16), 0)(images, index, epoch):
        assert out.shape == (BATCH, 3, 16, 16)
        assert out.dtype == torch.float32
        assert out.is_contiguous()
        assert not out.requires_grad
        assert out.min() >= 0
        assert out.max() <= 1
    assert torch.equal(images, before)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    images, (index, epoch) = _images(32, 32), _ids()
    engine = DeviceViews(build_views("byol", 32), 3)
    together = engine(images, index, epoch)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    shuffled = engine(images[order], index[order], epoch[order])
    alone = engine(images[7:8], index[7:8], epoch[7:8])
    for v in range(2):
        torch.testing.assert_close(shuffled[v], together[v][order], atol=1e-6, rtol=0)
        torch.testing.assert_close(alone[v], together[v][7:8], atol=1e-6, rtol=0)
    assert (together[0] - engine(images, index, epoch + 1)[0]).abs().mean() > 0.05


def test_mixed_precision_outside_does_not_reach_in() -> None:
    images, (index, epoch) = _images(32, 32), _ids()
    engine = DeviceViews(build_views("byol", 32), 3)
    plain = engine(images, index, epoch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = engine(images, index, epoch)
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


def test_many_samples_at_once() -> None:
    """More than fit into one piece of the matrix products."""
    images, (index, epoch) = _images(32, 32, batch=130), _ids(130)
    engine = DeviceViews([View.flat(32)], 0)
    (together,) = engine(images, index, epoch)
    pieces = [
        engine(*part)[0]
        for part in zip(images.split(13), index.split(13), epoch.split(13), strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(pieces), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("images", "ids"),
    [
        (torch.zeros(4, 3, 8, 8, dtype=torch.float64), 4),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), 3),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), 3),
    ],
)
def test_wrong_inputs_are_refused(images: Tensor, ids: int) -> None:
    with pytest.raises(ValueError, match="DeviceViews takes"):
        DeviceViews([View.flat(8)], 0)(images, torch.arange(ids), torch.arange(ids))


@pytest.mark.parametrize(("start", "length"), [(0, 40), (5, 8), (39, 1), (3, 33), (0, 16)])
@pytest.mark.parametrize("size", [1, 8, 16, 50])
def test_resize_matrix(start: int, length: int, size: int) -> None:
    signal = torch.rand(40, generator=torch.Generator().manual_seed(2))
    start_b, length_b = (torch.tensor([float(x)]) for x in (start, length))
    (matrix,) = resize_matrices(start_b, length_b, size=size, extent=40)
    piece = signal[start : start + length].expand(1, 1, 1, -1)
    wanted = torch.nn.functional.interpolate(
        piece, size=(1, size), mode="bilinear", antialias=True
    ).flatten()
    torch.testing.assert_close(matrix @ signal, wanted)


@pytest.mark.parametrize(("size", "kernel"), [(9, 3), (9, 9), (5, 9)])
def test_blur_matrix(size: int, kernel: int) -> None:
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3))
    sigmas = torch.tensor([0.1, 1.7])
    matrices = blur_matrices(sigmas, size, kernel)
    out = apply_separable(image, matrices, matrices)
    for row, sigma in enumerate(sigmas.tolist()):
        wanted = tvf.gaussian_blur(image[row], [kernel, kernel], [sigma, sigma])
        torch.testing.assert_close(out[row], wanted)


def test_color_operations() -> None:
    images = _images(9, 11) / 255
    strength = torch.linspace(0, 2, BATCH)
    turns = torch.linspace(-0.5, 0.5, BATCH)
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
    cases = [
        (brightness_contrast_(images.clone(), strength, zeros), tvf.adjust_brightness, strength),
        (
            brightness_contrast_(images.clone(), strength, ones - strength),
            tvf.adjust_contrast,
            strength,
        ),
        (saturate(images, strength), tvf.adjust_saturation, strength),
        (shift_hue(images, turns), tvf.adjust_hue, turns),
    ]
    for out, reference, values in cases:
        wanted = [reference(image, float(x)) for image, x in zip(images, values, strict=True)]
        torch.testing.assert_close(out, torch.stack(wanted), atol=2e-6, rtol=0)
    torch.testing.assert_close(grayscale(images), tvf.rgb_to_grayscale(images, 3))
    torch.testing.assert_close(solarize(images), tvf.solarize(images, 0.5))


def test_hue_keeps_value_and_saturation() -> None:
    images = _images(9, 11) / 255
    turned = shift_hue(images, torch.full((BATCH,), 0.3))
    for reduce in (torch.amax, torch.amin):
        torch.testing.assert_close(reduce(turned, dim=1), reduce(images, dim=1))
    thirds = shift_hue(images, torch.full((BATCH,), 1 / 3))
    torch.testing.assert_close(thirds, images.roll(1, dims=1), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views_without_waiting() -> None:
    images, (index, epoch) = _images(57, 40), _ids()
    engine = DeviceViews(build_views("byol", 32), 3)
    on_device = images.cuda()
    engine(on_device, index, epoch)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = engine(on_device, index, epoch)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    for gpu, cpu in zip(made, engine(images, index, epoch), strict=True):
        assert gpu.is_cuda
        assert np.quantile((gpu.cpu() - cpu).abs(), 0.999) < 1e-5
