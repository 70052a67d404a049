"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from mvssl.arguments import Number, check_count, check_momentum
from mvssl.registry import MODELS

__all__ = ["EMATeacher"]


@MODELS.register_module()
class EMATeacher(nn.Module):
    """EMA copy of the student's backbone and neck; it never receives a gradient.

    It is moved by ``TeacherHook`` after each optimiser step that happened, never in ``forward``:
    gradient accumulation and skipped AMP steps would move it too often. Statistics of BatchNorm
    layers are the teacher's own, made from the batches that it sees; what is random in a network
    (dropout, drop path) is the student's alone.

    Args:
        momentum: the fraction of the teacher that is *kept* at each step, in [0, 1]. Many methods
            raise it to 1 by a cosine (Grill et al. 2020): that is a ``ScheduleHook`` of
            ``model.teacher.momentum``.
        shuffle_groups: BatchNorm normalises so many random groups of a batch, each by itself. Over
            1 a target does not share its statistics with the prediction that it is compared with,
            which could otherwise be told from them: MoCo's shuffling (He et al. 2020, section
            3.3), on one device.
    """

    needed_hooks: ClassVar[Mapping[str, str]] = {
        "TeacherHook": "model.teacher is moved by TeacherHook, and there is none among the hooks: "
        "add default_hooks = dict(teacher=dict(type='TeacherHook')), or set model.teacher=None."
    }

    momentum = Number(check_momentum)

    def __init__(self, momentum: float = 0.996, shuffle_groups: int = 1) -> None:
        super().__init__()
        check_count("EMATeacher", shuffle_groups=shuffle_groups)
        self.momentum = momentum
        self.shuffle_groups = shuffle_groups
        self.parts = nn.ModuleDict()

    def copy_from(self, parts: Mapping[str, nn.Module]) -> None:
        """Become a frozen copy of the student's ``parts``."""
        self.parts = nn.ModuleDict({name: copy.deepcopy(part) for name, part in parts.items()})
        self.parts.requires_grad_(False)

    def reset(self, parts: Mapping[str, nn.Module]) -> None:
        """Take over the student's weights and buffers, after the student was initialised."""
        for name, part in parts.items():
            self.parts[name].load_state_dict(part.state_dict())

    def train(self, mode: bool = True) -> EMATeacher:
        """Training mode reaches only layers that keep running statistics, as BatchNorm does."""
        super().train(False)
        for module in self.modules():
            if getattr(module, "running_var", None) is not None:
                module.training = mode
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Projections (N, D) of normalised images (N, 3, s, s)."""
        if self.shuffle_groups == 1:
            return self._embed(images)
        order = torch.randperm(len(images)).to(images.device)
        groups = images[order].chunk(self.shuffle_groups)
        return torch.cat([self._embed(group) for group in groups])[order.argsort()]

    def _embed(self, images: Tensor) -> Tensor:
        for part in self.parts.values():
            images = part(images)
        return images

    @torch.no_grad()
    def update(self, parts: Mapping[str, nn.Module]) -> None:
        """Move every parameter: ``teacher = momentum * teacher + (1 - momentum) * student``."""
        own: list[Tensor] = [p for name in parts for p in self.parts[name].parameters()]
        student = [p.detach() for part in parts.values() for p in part.parameters()]
        torch._foreach_lerp_(own, student, 1.0 - self.momentum)
