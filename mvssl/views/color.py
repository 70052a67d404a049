"""Colour operations on batches in which every sample has its own strength, and colour spaces.

Images are float32 (B, 3, H, W) in [0, 1]; strengths are (B,). The definitions of the operations
are those of ``torchvision.transforms.v2.functional``. Names that end in ``_`` write into their
argument.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Weights of red, green and blue in the grey value (ITU-R 601-2), as in Pillow and torchvision.
_RED, _GREEN, _BLUE = 0.2989, 0.587, 0.114

# CIE XYZ of linear sRGB's red, green and blue (IEC 61966-2-1, white point D65).
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)


def _column(values_b: Tensor) -> Tensor:
    return values_b[:, None, None, None]


def gray_values(images: Tensor) -> Tensor:
    """Grey values: (B, 3, ...) to (B, ...)."""
    red, green, blue = images.unbind(dim=1)
    return (red * _RED).add_(green, alpha=_GREEN).add_(blue, alpha=_BLUE)


def brightness_contrast_(images: Tensor, gain_b: Tensor, pull_b: Tensor) -> Tensor:
    """``gain * image + pull * (mean grey of the image)``, clamped to [0, 1].

    Brightness by a factor f is gain f, pull 0; contrast by a factor f is gain f, pull 1 - f: one
    pass serves samples of which some take the one, some the other and some (1, 0) nothing.
    """
    mean_b = gray_values(images.mean(dim=(2, 3)))
    return images.mul_(_column(gain_b)).add_(_column(pull_b * mean_b)).clamp_(0.0, 1.0)


def saturate(images: Tensor, factor_b: Tensor) -> Tensor:
    """Blends every pixel with its grey value: factor 0 is grey, 1 the image itself."""
    gray = gray_values(images)[:, None]
    return torch.lerp(gray, images, _column(factor_b)).clamp_(0.0, 1.0)


def shift_hue(images: Tensor, turns_b: Tensor) -> Tensor:
    """Turns the hue by a fraction of the colour circle, in HSV, saturation and value kept."""
    red, green, blue = images.unbind(dim=1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    # The hue in sixths of a turn: 0, 2 or 4 for the largest channel, and how the others differ.
    # Chosen by blending with masks of 0 and 1: torch.where is ten times slower on a CPU.
    not_red, not_green = (high - red).sign_(), (high - green).sign_()
    from_green_on = torch.lerp(blue - red, red - green, not_green)
    difference = torch.lerp(green - blue, from_green_on, not_red)
    corner = not_green.add_(1.0).mul_(2.0).mul_(not_red)
    turned = corner.add_(6.0 * turns_b[:, None, None])
    sixths = difference.div_(chroma.clamp(min=1e-12)).add_(turned)
    # Modulo 6, several times faster than remainder_.
    sixths.sub_(torch.floor(sixths / 6.0).mul_(6.0))
    # Around the circle every channel runs along a trapezoid, up to the largest value and down.
    shares = (
        (sixths - 3.0).abs_().sub_(1.0),
        (sixths - 2.0).abs_().neg_().add_(2.0),
        (sixths - 4.0).abs_().neg_().add_(2.0),
    )
    return torch.stack([torch.addcmul(low, chroma, x.clamp_(0.0, 1.0)) for x in shares], dim=1)


def grayscale(images: Tensor) -> Tensor:
    """Grey values in all three channels."""
    return gray_values(images)[:, None].expand_as(images).contiguous()


def solarize(images: Tensor) -> Tensor:
    """Inverts the values from 0.5 on; of a value and its inverse, that is the smaller one."""
    return torch.minimum(images, 1.0 - images)


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB to CIE L*a*b* (1976) under D65: L in [0, 100]; a (green to red) and b (blue to yellow)
    reach from about -108 to 99.
    """
    linear = torch.where(
        images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055).clamp(min=0.0) ** 2.4
    )
    red, green, blue = linear.unbind(dim=1)
    x, y, z = (
        # Divided by its white point, so that greys have no colour.
        _lab_curve((r * red + g * green + b * blue) / (r + g + b))
        for r, g, b in _XYZ
    )
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=1)


def _lab_curve(values: Tensor) -> Tensor:
    """Cube root with a straight piece near 0 (CIE 15)."""
    # Clamped, since the slope of the root at 0 is not finite.
    root = values.clamp(min=1e-3) ** (1.0 / 3.0)
    return torch.where(values > (6 / 29) ** 3, root, values * ((29 / 6) ** 2 / 3) + 4 / 29)


def sobel_edges(images: Tensor) -> Tensor:
    """Grey value and its derivatives along x and y by 3 x 3 Sobel filters, borders mirrored.

    Derivatives of an image in [0, 1] lie in [-4, 4].
    """
    gray = gray_values(images)[:, None]
    smooth = gray.new_tensor([1.0, 2.0, 1.0])
    slope = gray.new_tensor([-1.0, 0.0, 1.0])
    filters = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    padded = F.pad(gray, (1, 1, 1, 1), mode="reflect")
    return torch.cat([gray, F.conv2d(padded, filters)], dim=1)
