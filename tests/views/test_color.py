"""Colour spaces against OpenCV and against published values of single colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mvssl.opencv import cv2
from mvssl.views.color import gray_values, rgb_to_lab, sobel_edges


def random_images(seed: int = 0) -> Tensor:
    return torch.rand(4, 3, 17, 23, generator=torch.Generator().manual_seed(seed))


def by_opencv(images: Tensor, code: int) -> Tensor:
    """Image for image, float32."""
    turned = [cv2.cvtColor(x.permute(1, 2, 0).contiguous().numpy(), code) for x in images]
    stacked = torch.from_numpy(np.stack(turned))
    return stacked.permute(0, 3, 1, 2) if stacked.dim() == 4 else stacked


@pytest.mark.parametrize("scale", [1.0, 0.02], ids=["all", "dark"])
def test_lab_is_opencvs(scale: float) -> None:
    images = random_images() * scale
    difference = (rgb_to_lab(images) - by_opencv(images, cv2.COLOR_RGB2LAB)).abs()
    # OpenCV interpolates in a table of 33 x 33 x 33 colours; the definition is tested below.
    assert difference.max() < 0.6
    assert difference.mean() < 0.15


def by_the_definition(rgb: tuple[float, float, float]) -> list[float]:
    """CIE 15 and IEC 61966-2-1, with the standard's four digits of the matrix, in float64."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(matrix) @ linear / np.array([0.95047, 1.0, 1.08883])
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in xyz)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


@pytest.mark.parametrize(
    "rgb",
    [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.02, 0.01, 0.03)],
)
def test_lab_of_single_colors(rgb: tuple[float, float, float]) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)
    lab = rgb_to_lab(pixel).flatten().tolist()
    assert lab == pytest.approx(by_the_definition(rgb), abs=0.03)


def test_lab_of_random_colors() -> None:
    images = random_images()[:1, :, :8, :8]
    pixels = images[0].flatten(1).T.double().tolist()
    expected = torch.tensor([by_the_definition((r, g, b)) for r, g, b in pixels])
    found = rgb_to_lab(images)[0].flatten(1).T.double()
    torch.testing.assert_close(found, expected.double(), atol=0.03, rtol=0)


def test_red_is_the_published_lab_value() -> None:
    lab = rgb_to_lab(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
    assert lab.flatten().tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


def test_grays_have_no_color() -> None:
    grays = torch.linspace(0, 1, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert rgb_to_lab(grays)[:, 1:].abs().max() < 2e-4


def test_sobel_is_opencvs() -> None:
    images = random_images(1)
    gray, dx, dy = sobel_edges(images).unbind(dim=1)
    torch.testing.assert_close(gray, by_opencv(images, cv2.COLOR_RGB2GRAY), atol=3e-4, rtol=0)
    for one, x, y in zip(gray_values(images).numpy(), dx, dy, strict=True):
        for found, order in ((x, (1, 0)), (y, (0, 1))):
            expected = torch.from_numpy(cv2.Sobel(one, cv2.CV_32F, *order, ksize=3))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_sobel_of_the_sharpest_edge_is_4() -> None:
    images = torch.zeros(1, 3, 6, 6)
    images[..., 3:] = 1.0
    _, dx, dy = sobel_edges(images)[0]
    white = 0.2989 + 0.587 + 0.114
    assert dx[2].tolist() == pytest.approx([0, 0, 4 * white, 4 * white, 0, 0])
    assert dy.abs().max() < 1e-6
