"""Value and gradient of a loss against a formula that is written with NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

Array = np.ndarray


def numeric_gradient(value: Callable[[Array], float], x: Array) -> Array:
    """Central differences."""
    gradient, step = np.zeros_like(x), 1e-5
    for place in np.ndindex(*x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (value(ahead) - value(behind)) / (2 * step)
    return gradient


def assert_parity(
    loss: nn.Module, formula: Callable[[Array, Array], float], first: Tensor, second: Tensor
) -> None:
    """Value and both gradients of the loss against those of the formula."""
    inputs = [first.clone().requires_grad_(), second.clone().requires_grad_()]
    value = loss(*inputs)
    a, b = first.numpy(), second.numpy()
    assert value.shape == ()
    assert value.item() == pytest.approx(formula(a, b), rel=1e-10)
    gradients = torch.autograd.grad(value, inputs)
    expected = [
        numeric_gradient(lambda x: formula(x, b), a),
        numeric_gradient(lambda x: formula(a, x), b),
    ]
    for found, wanted in zip(gradients, expected, strict=True):
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(found.numpy() / scale, wanted / scale, atol=1e-8, rtol=1e-6)
