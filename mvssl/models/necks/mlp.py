"""The multi-layer perceptron that projects or predicts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from mvssl.arguments import check_choice, check_count
from mvssl.models.necks.base import Neck
from mvssl.registry import NECKS

__all__ = ["MLP"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "gelu": nn.GELU,
}
NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}


@NECKS.register_module()
class MLP(Neck):
    """Linear layers with normalisation and activation between them.

    BYOL's projector and predictor (Grill et al. 2020) are ``MLP(hidden_channels=4096,
    out_channels=256)``.

    Args:
        in_channels: filled in by the model.
        out_channels: D, filled in by the model for a predictor.
        hidden_channels: width of the layers between.
        num_layers: number of linear layers.
        norm: after every hidden layer: ``batch``, ``layer`` or ``none``.
        last_norm: after the last layer, without scale and shift (as in SimCLR, SimSiam):
            ``batch`` or ``none``.
        activation: ``relu`` or ``gelu``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        num_layers: int = 2,
        norm: str = "batch",
        last_norm: str = "none",
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_choice("MLP", "norm", norm, NORMS)
        check_choice("MLP", "last_norm", last_norm, ("batch", "none"))
        check_choice("MLP", "activation", activation, ACTIVATIONS)
        sizes = {"out_channels": out_channels, "hidden_channels": hidden_channels}
        check_count("MLP", in_channels=in_channels, **sizes, num_layers=num_layers)
        self.out_channels = out_channels
        layers: list[nn.Module] = []
        width = in_channels
        for _ in range(num_layers - 1):
            # A bias before a normalisation would be removed by it.
            layers += [nn.Linear(width, hidden_channels, bias=norm == "none")]
            layers += [NORMS[norm](hidden_channels), ACTIVATIONS[activation]()]
            width = hidden_channels
        layers.append(nn.Linear(width, out_channels, bias=last_norm == "none"))
        if last_norm == "batch":
            layers.append(nn.BatchNorm1d(out_channels, affine=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels) to (N, out_channels)."""
        return self.layers(x)
