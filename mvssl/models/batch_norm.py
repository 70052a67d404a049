"""BatchNorm over the joined batch of all processes, on GPUs and on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mvssl.distributed import mean_over_ranks, world_size
from mvssl.models.precision import at_least_float32

__all__ = ["CPUSyncBatchNorm", "share_of_batch", "synchronize_batch_norm"]


def synchronize_batch_norm(model: nn.Module) -> nn.Module:
    """``model`` with every BatchNorm layer synchronised; weights and buffers are kept."""
    if get_device() == "cuda":
        # timm's, since torch's would drop the activation that some of timm's layers hold.
        return convert_sync_batchnorm(model)
    return _convert(model)


def _convert(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        return CPUSyncBatchNorm.like(module)
    for name, child in module.named_children():
        module.add_module(name, _convert(child))
    return module


@contextmanager
def share_of_batch(model: nn.Module, share: float) -> Iterator[None]:
    """Say to the layers of ``model`` how many samples this process brings beside the mean over all.

    On GPUs layers find it out by themselves.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, CPUSyncBatchNorm)]
    for layer in layers:
        layer.share = share
    try:
        yield
    finally:
        for layer in layers:
            layer.share = 1.0


class CPUSyncBatchNorm(_BatchNorm):
    """torch's ``SyncBatchNorm`` for processes without a GPU, which torch's own refuses.

    Input (N, C, ...); every process must bring equally many samples, or say which share it brings.

    Attributes:
        share: samples of this process beside their mean over all; 1 where all bring equally many.
    """

    share: float = 1.0

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool) -> None:
        super().__init__(num_features, eps, momentum, affine)
        # What timm's BatchNormAct2d does after the normalisation.
        self.drop: nn.Module = nn.Identity()
        self.act: nn.Module = nn.Identity()

    @classmethod
    def like(cls, layer: _BatchNorm) -> CPUSyncBatchNorm:
        """The same layer, sharing its weights and buffers."""
        new = cls(layer.num_features, layer.eps, layer.momentum, layer.affine)
        new.track_running_stats = layer.track_running_stats
        new.weight, new.bias = layer.weight, layer.bias
        new.running_mean, new.running_var = layer.running_mean, layer.running_var
        new.num_batches_tracked = layer.num_batches_tracked
        new.training = layer.training
        if isinstance(layer, BatchNormAct2d):
            new.drop, new.act = layer.drop, layer.act
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected an input (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        if not self.training and self.running_mean is not None:
            return self.act(self.drop(super().forward(input)))
        # Statistics in float32, also under autocast, as torch's layers have them.
        x = at_least_float32(input)
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        mean_c = mean_over_ranks(x.mean(dims) * self.share)
        centred = x - mean_c.view(shape)
        var_c = mean_over_ranks(centred.square().mean(dims) * self.share)
        if self.training and self.running_mean is not None:
            count = round(x.numel() // x.shape[1] * world_size() / self.share)
            self._track(mean_c.detach(), var_c.detach(), count)
        out = centred * torch.rsqrt(var_c + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return self.act(self.drop(out.to(input.dtype)))

    @torch.no_grad()
    def _track(self, mean_c: Tensor, var_c: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum
        if weight is None:  # torch: the mean over all batches
            weight = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean_c.to(self.running_mean.dtype), weight)
        unbiased = var_c * count / max(count - 1, 1)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)
