"""Every head of the registry: W processes are one process with the joined batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

import mvssl.models  # noqa: F401  # fills the registries
from mvssl.models import Embeddings
from mvssl.models.clustering import ClusteringHead
from mvssl.models.heads import Head
from mvssl.models.prototypes import Prototypes
from mvssl.registry import HEADS, build_part
from tests.gloo_pool import GlooPool

B, D, M, N = 8, 6, 5, 24
STEPS = 3
NO_GRADIENT = {"type": "ViewTargets", "stop_gradient": False}

# For every head the ways in which it is used; views, targets and teacher are those of the record.
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "PairHead": {
        "byol": {"loss": {"type": "CosineSimilarityLoss"}},
        "mocov3": {"loss": {"type": "InfoNCELoss"}, "loss_weight": 0.8},
        "cmc": {"loss": {"type": "InfoNCELoss"}, "target": NO_GRADIENT},
        "nnclr": {
            "loss": {"type": "InfoNCELoss", "anchor": "target"},
            "target": {"type": "NearestNeighborTargets", "queue_size": 2 * B},
        },
        "bank": {"loss": {"type": "CosineSimilarityLoss"}, "target": {"type": "BankTargets"}},
        "fastsiam": {
            "loss": {"type": "CosineSimilarityLoss"},
            "target": {"type": "MeanTargets"},
        },
    },
    "JointHead": {
        "simclr": {"loss": {"type": "NTXentLoss"}},
        "dcl": {"loss": {"type": "DCLLoss"}},
        "dclw": {"loss": {"type": "DCLLoss", "sigma": 0.5}},
        "barlowtwins": {"loss": {"type": "BarlowTwinsLoss"}},
        "vicreg": {"loss": {"type": "VICRegLoss"}},
    },
    "MoCoHead": {"mocov2": {"queue_size": 2 * B}},
    "RelationHead": {"ressl": {"queue_size": 2 * B}},
    "InstanceHead": {"whole": {}, "drawn": {"num_negatives": 7}},
    "RegularizedHead": {
        "lejepa": {"loss": {"type": "SIGRegLoss", "num_slices": 16}},
        "visreg": {"loss": {"type": "VISRegLoss", "num_slices": 16}},
    },
    "ViewsHead": {
        "mmcr": {"loss": {"type": "MMCRLoss"}},
        "empssl": {"loss": {"type": "EMPSSLLoss"}},
        "frossl": {"loss": {"type": "FroSSLLoss"}},
    },
    "AssignmentHead": {
        "dino": {"assigner": {"type": "Centering"}},
        "swav": {"assigner": {"type": "Sinkhorn"}, "num_prototypes": M, "queue_size": 2 * B},
        "sets": {"assigner": {"type": "Sinkhorn"}, "num_prototypes": [M, M + 2]},
    },
    "DiscreteERHead": {
        "neck": {},
        "own": {"num_prototypes": [M, M + 2]},
        "both_sides": {
            "num_prototypes": M,
            "target": NO_GRADIENT,
            "entropy_temp": 0.1,
            "assigner": {"type": "Sharpening", "teacher_temp": 0.1},
        },
        "bank": {"num_prototypes": M, "target": {"type": "BankTargets"}},
        "groups": {"entropy_group": B // 4},
        "groups_of_two_processes": {"num_prototypes": M, "entropy_group": B},
    },
    "ERHead": {
        "plain": {},
        "both_sides": {"target": NO_GRADIENT},
        "groups": {"entropy_group": B // 4},
        "queue": {"queue_size": 2 * B, "estimator": "loo"},
        "bank": {"target": {"type": "BankTargets"}},
        "neighbours": {"target": {"type": "NearestNeighborTargets", "queue_size": B}},
        "means": {"target": {"type": "MeanTargets"}},
    },
    "DeepClusterHead": {"deepcluster": {"num_clusters": 4}},
    "DeepClusterV2Head": {"deepclusterv2": {"num_clusters": [3, 4]}},
}


def test_no_head_is_forgotten() -> None:
    assert set(CASES) == set(HEADS.module_dict)


def draw(number: int, step: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + seed)
    return [torch.randn(B, D, generator=generator, dtype=torch.float64) for _ in range(number)]


def share(x: Tensor) -> Tensor:
    """This process's rows of the joined batch."""
    return x.chunk(dist.get_world_size())[dist.get_rank()]


def build(name: str, arguments: dict[str, Any]) -> Head:
    torch.manual_seed(0)
    cfg = {"type": name, **arguments}
    head: Head = build_part(HEADS, cfg, in_channels=D, num_logits=M, num_samples=N).double()
    if isinstance(head, ClusteringHead):
        give_clusters(head)
    return head


def give_clusters(head: ClusteringHead) -> None:
    """Clusters of well separated embeddings, found by the head."""
    generator = torch.Generator().manual_seed(7)
    centres = 10 * torch.eye(4, D, dtype=torch.float64)
    x = centres[torch.arange(N) % 4] + torch.randn(N, D, generator=generator, dtype=torch.float64)
    head.cluster(0, x[dist.get_rank() :: dist.get_world_size()])


def record_of(step: int, theta: Tensor, prototypes: Prototypes) -> Embeddings:
    """Three views, two of them targets of a teacher; index repeats an image."""
    z = [share(x) @ theta for x in draw(3, step, 1)]
    p = [(x @ theta).tanh() for x in z]
    target = [share(x) for x in draw(2, step, 2)]
    index = (torch.arange(B) * 5 + step) % N
    index[-1] = index[0]
    return Embeddings(
        features=z,
        z=z,
        p=p,
        target=target,
        index=share(index),
        logits=[prototypes(x)[0] for x in z],
        target_logits=[prototypes(x)[0].detach() for x in target],
    )


def run(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A few training steps: losses, gradients and buffers."""
    head = build(name, arguments)
    prototypes = Prototypes(D, [M]).double()
    theta = torch.eye(D, dtype=torch.float64, requires_grad=True)
    losses = []
    for step in range(STEPS):
        outputs = head(record_of(step, theta, prototypes))
        outputs["loss"].backward()
        losses.append(outputs["loss"].detach())
    grads = {n: p.grad for n, p in head.named_parameters() if p.grad is not None}
    return {
        "losses": torch.stack(losses),
        "grads": {"theta": theta.grad, **grads},
        "buffers": dict(head.named_buffers()),
    }


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases]
)
def test_two_processes_are_one(run_distributed: GlooPool, name: str, case: str) -> None:
    arguments = CASES[name][case]
    (single,) = run_distributed(run, 1, name, arguments)
    first, second = run_distributed(run, 2, name, arguments)
    assert single["losses"].abs().min() > 0 or name in ("MoCoHead", "RelationHead")
    mean = (first["losses"] + second["losses"]) / 2
    torch.testing.assert_close(mean, single["losses"], rtol=1e-6, atol=1e-9)
    assert single["grads"]["theta"].abs().max() > 0
    for key, expected in single["grads"].items():
        mean = (first["grads"][key] + second["grads"][key]) / 2
        torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-9, msg=key)
    for key, expected in single["buffers"].items():
        assert torch.equal(first["buffers"][key], second["buffers"][key]), key
        torch.testing.assert_close(first["buffers"][key], expected, rtol=1e-6, atol=1e-9)


def _bank_after_start() -> Tensor:
    torch.manual_seed(dist.get_rank())
    return build_part(
        HEADS, {"type": "InstanceHead"}, in_channels=D, num_samples=N
    ).target.bank.data


def test_random_buffers_start_as_those_of_the_first_process(run_distributed: GlooPool) -> None:
    first, second = run_distributed(_bank_after_start, 2)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, F.normalize(first, dim=1))
