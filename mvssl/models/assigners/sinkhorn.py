"""Assignments that use all prototypes equally, by optimal transport.

Shape suffixes: B images of this process, N of all processes and the queue, K prototypes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.arguments import Number, check_count, check_positive
from mvssl.distributed import gather_detached, rank
from mvssl.models.assigners.base import Assigner
from mvssl.models.precision import at_least_float32
from mvssl.registry import ASSIGNERS

__all__ = ["Sinkhorn"]


@ASSIGNERS.register_module()
class Sinkhorn(Assigner):
    """SwAV's assignments (Caron et al. 2020, arXiv 2006.09882; Cuturi 2013).

    ``exp(logits / epsilon)`` of the images of all processes and of the queue, scaled in turn so
    that each prototype has 1 / K of the mass and each image 1 / N. Images come last: each image's
    assignment is a distribution exactly, and the prototypes' shares come near 1 / K with more
    iterations. In the log domain, so that no epsilon overflows.

    Args:
        epsilon: strength of the entropic regularisation; smaller is sharper.
        iterations: of both scalings.
    """

    crosses_samples: ClassVar[bool] = True

    epsilon = Number(check_positive)

    def __init__(self, epsilon: float = 0.05, iterations: int = 3) -> None:
        super().__init__()
        check_count("Sinkhorn", iterations=iterations)
        self.epsilon = epsilon
        self.iterations = iterations

    @torch.no_grad()
    def forward(self, logits_bk: Tensor, extra_qk: Tensor | None = None) -> Tensor:
        joined_nk = gather_detached(at_least_float32(logits_bk))
        if extra_qk is not None:
            joined_nk = torch.cat([joined_nk, extra_qk.to(joined_nk)])
        log_q_nk = joined_nk / self.epsilon
        # Totals of 1, not of 1 / K and 1 / N: the next scaling undoes the factor, and at the end
        # an image's distribution is wanted, N times its mass.
        for _ in range(self.iterations):
            log_q_nk = F.log_softmax(log_q_nk, dim=0)
            log_q_nk = F.log_softmax(log_q_nk, dim=1)
        own = rank() * len(logits_bk)
        return log_q_nk[own : own + len(logits_bk)].exp()
