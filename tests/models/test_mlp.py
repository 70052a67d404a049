from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mvssl.errors import UserError
from mvssl.models.necks import MLP


def test_two_layers_are_byols_projector() -> None:
    mlp = MLP(6, 4, 8).double()
    first, norm, relu, last = mlp.layers
    assert isinstance(relu, nn.ReLU)
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    assert first.bias is None  # batch normalisation would remove it
    assert mlp.out_channels == 4
    x = torch.randn(10, 6, dtype=torch.float64)
    hidden = x @ first.weight.T
    hidden = (hidden - hidden.mean(dim=0)) / (hidden.var(dim=0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(mlp(x), hidden.relu() @ last.weight.T + last.bias)


def test_layer_norm_and_no_norm() -> None:
    x = torch.randn(5, 6)
    layer = MLP(6, 4, 8, norm="layer")
    first, _, _, last = layer.layers
    expected = last(F.layer_norm(first(x), (8,)).relu())
    torch.testing.assert_close(layer(x), expected)
    plain = MLP(6, 4, 8, norm="none")
    assert [type(m).__name__ for m in plain.layers] == ["Linear", "Identity", "ReLU", "Linear"]
    assert all(m.bias is not None for m in plain.layers if isinstance(m, nn.Linear))


def test_last_norm_has_no_scale_and_shift() -> None:
    mlp = MLP(6, 4, 8, num_layers=3, last_norm="batch")
    out = mlp(torch.randn(32, 6))
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(dim=0, unbiased=False), torch.ones(4), atol=1e-2, rtol=0)
    last = mlp.layers[-1]
    assert isinstance(last, nn.BatchNorm1d)
    assert not last.affine
    assert sum(isinstance(m, nn.Linear) for m in mlp.layers) == 3


def test_one_layer_is_linear() -> None:
    assert [type(m) for m in MLP(6, 4, 8, num_layers=1).layers] == [nn.Linear]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"norm": "bacth"}, "norm is one of batch, layer, none, got 'bacth'"),
        ({"last_norm": "layer"}, "last_norm is one of batch, none, got 'layer'"),
        ({"activation": "tanh"}, "activation is one of relu, gelu, got 'tanh'"),
        ({"hidden_channels": 0}, "hidden_channels is an integer and at least 1, got 0"),
        ({"num_layers": 0}, "num_layers is an integer and at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        MLP(**{"in_channels": 4, "out_channels": 4, "hidden_channels": 4, **arguments})
