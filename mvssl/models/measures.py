"""What a record is measured by, whatever the objective: information in nats, and geometry."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mvssl.distributed import gather_detached, mean_over_ranks, world_size
from mvssl.information import (
    Bound,
    VonMisesFisher,
    alignment,
    conditional_entropy,
    discrete_entropy,
    discrete_reconstruction,
    embedding_std,
    entropy,
    er_bound,
    infonce_bound,
    lidar,
    rankme,
    reconstruction,
    uniformity,
)
from mvssl.models.precision import at_least_float32
from mvssl.models.record import Embeddings, view_pairs

__all__ = [
    "DISCRETE",
    "Scalars",
    "as_tensors",
    "mean_scalars",
    "measure",
    "measure_discrete",
    "measure_discriminants",
    "measure_geometry",
]

Scalars = dict[str, float | Tensor]

DISCRETE = (
    "entropy",
    "reconstruction",
    "mi_bound",
    "mi_ceiling",
    "conditional_entropy",
    "kl",
    "information",
    "student_entropy",
    "entropy_floor",
    "entropy_cap",
    "infonce",
)
"""Names of what :func:`measure_discrete` measures."""

# Beyond that many prototypes the candidates of InfoNCE would take more room than the model.
INFONCE_PROTOTYPES = 8192


@torch.no_grad()
def measure(record: Embeddings, kernel: VonMisesFisher, gather: bool = True) -> Scalars:
    """The ER estimate of a record and what it is read against, in nats.

    Means over the pairs of a prediction (centre, Z1) with a target (Z2), over the joined batch of
    all processes (``gather=False``: of a record that every process holds whole): ``entropy`` and
    ``reconstruction`` of the target, their sum ``mi_bound`` (an estimate of the mutual
    information, formed without log C), its ceiling ``mi_ceiling``, ``infonce`` with the same
    density and pairs, and the floor and cap of the entropy; ``student_entropy`` is that of the
    predictions, of one view for each target. Where the record has no pairs (one view and no
    memory), the entropy of the projections alone.
    """
    # One gather for everything: collectives cost latency, not bytes.
    size = record.p[0].shape[1]
    own = at_least_float32(torch.cat(record.p + record.target, dim=1)).detach()
    joined = gather_detached(own) if gather else own
    parts = [F.normalize(part, dim=1) for part in joined.split(size, dim=1)]
    predictions, targets = parts[: len(record.p)], parts[len(record.p) :]
    floor, cap = entropy_window(kernel, size, len(joined))
    window: Scalars = {"entropy_floor": floor, "entropy_cap": cap}
    pairs = view_pairs(record)
    if not pairs:
        alone = [entropy(x, kernel, validate=False) for x in targets]
        return {"entropy": torch.stack(alone).mean(), **window}
    bounds = _er_bounds(predictions, targets, pairs, kernel)
    nce = [infonce_bound(predictions[v], targets[g], kernel, validate=False) for g, v in pairs]
    seen = {g: v for g, v in reversed(pairs)}.values()  # of many views, one for each target
    student = [entropy(predictions[v], kernel, validate=False) for v in seen]
    ceiling = bounds[0].ceiling
    assert ceiling is not None  # `joe` always has one
    return {
        "entropy": torch.stack([b.entropy for b in bounds]).mean(),
        "reconstruction": torch.stack([b.reconstruction for b in bounds]).mean(),
        "mi_bound": torch.stack([b.value for b in bounds]).mean(),
        "mi_ceiling": ceiling,
        "infonce": torch.stack([b.value for b in nce]).mean(),
        "student_entropy": torch.stack(student).mean(),
        **window,
    }


def _er_bounds(
    predictions: list[Tensor],
    targets: list[Tensor],
    pairs: list[tuple[int, int]],
    kernel: VonMisesFisher,
) -> list[Bound]:
    """``er_bound`` of every pair; a target that is in several has its entropy taken once."""
    samples, size = targets[0].shape
    entropies = {
        g: entropy(targets[g], kernel, normalized=False, validate=False)
        for g in dict.fromkeys(g for g, _ in pairs)
    }
    fits = [
        reconstruction(targets[g], predictions[v], kernel, normalized=False, validate=False)
        for g, v in pairs
    ]
    log_normalizer = kernel.log_normalizer(size)
    return [
        Bound(entropies[g], fit, log_normalizer, lambda: kernel.ceiling("joe", samples, 0))
        for (g, _), fit in zip(pairs, fits, strict=True)
    ]


@torch.no_grad()
def measure_discrete(
    t: list[Tensor],
    log_s: list[Tensor],
    pairs: list[tuple[int, int]],
    gather: bool = True,
) -> Scalars:
    """The ER estimate of targets that are distributions over m prototypes, in nats.

    Means over ``pairs`` (g, v). ``entropy`` H(W) of the targets' mean and ``reconstruction`` make
    ``mi_bound``, an estimate of I(Z1; W) with its ceiling; the cross-entropy falls apart into
    ``conditional_entropy`` H(W|X) and ``kl``; ``information`` is H(W) - H(W|X), which is 0 where
    all images look alike, whatever the entropy; ``student_entropy`` is H of the predictions' mean.
    ``infonce`` takes sum_w t_j(w) log s_i(w) as its critic, on the first pair; it needs the
    targets of all processes.

    Args:
        t: targets G x (B, m), rows that sum to 1.
        log_s: log-probabilities of the predictions, V x (B, m).
        pairs: positions in the two lists.
        gather: H of the mean over all processes; False: the mean of each process's own H.
    """
    target_entropies = [mean_entropy(x, gather) for x in t]
    rows = [conditional_entropy(x, validate=False) for x in t]
    fits = [discrete_reconstruction(t[g], log_s[v], validate=False) for g, v in pairs]
    h = torch.stack([target_entropies[g] for g, _ in pairs]).mean()
    h_given_x = torch.stack([rows[g] for g, _ in pairs]).mean()
    fit = torch.stack(fits).mean()
    student = torch.stack([mean_entropy(x.exp(), gather) for x in log_s]).mean()
    images, prototypes = t[0].shape
    images *= world_size() if gather else 1
    scalars: Scalars = {
        "entropy": h,
        "reconstruction": fit,
        "mi_bound": h + fit,
        "mi_ceiling": math.log(min(images, prototypes)),
        "conditional_entropy": h_given_x,
        "kl": -fit - h_given_x,
        "information": h - h_given_x,
        "student_entropy": student,
        "entropy_floor": 0.0,
        "entropy_cap": math.log(prototypes),
    }
    if prototypes <= INFONCE_PROTOTYPES:
        g, v = pairs[0]
        scalars["infonce"] = _discrete_infonce(t[g], log_s[v])
    return scalars


def mean_entropy(probs_bm: Tensor, gather: bool = True) -> Tensor:
    """H of the mean row (nats), over all processes or this one's rows; differentiable."""
    mean_1m = probs_bm.mean(dim=0, keepdim=True)
    return discrete_entropy(mean_over_ranks(mean_1m) if gather else mean_1m, validate=False)


def _discrete_infonce(t_bm: Tensor, log_s_bm: Tensor) -> Tensor:
    """Candidates from all processes."""
    candidates_km = gather_detached(t_bm)
    scores_bk = log_s_bm @ candidates_km.T
    own_b = (t_bm * log_s_bm).sum(dim=1)
    return (own_b - scores_bk.logsumexp(dim=1)).mean() + math.log(len(candidates_km))


@torch.no_grad()
def measure_geometry(record: Embeddings, kernel: VonMisesFisher, gather: bool = True) -> Scalars:
    """How features and projections of the first two views lie, over the joined batch (``gather``
    as in :func:`measure`); nothing where they are no numbers. Where the student sees one view,
    nothing that takes two.

    - ``alignment`` in [0, 4], ``uniformity`` (lower is better, -4 at the
      least) of the projections;
    - ``rankme`` and ``features_rankme``, effective ranks, at most ``rankme_cap`` and
      ``features_rankme_cap``;
    - ``embedding_std``, 0 on collapse, ``embedding_std_cap`` = 1/sqrt(D) where the sphere is
      filled;
    - ``features_entropy``, ``features_mi_bound``, ``features_infonce`` (nats): the ER estimate of
      the normalised features, with ``features_entropy_floor`` and ``_cap`` and
      ``features_mi_ceiling``.
    """
    second = min(1, len(record.z) - 1)
    size = record.z[0].shape[1]
    pieces = [record.z[0], record.z[second], record.features[0], record.features[second]]
    own = torch.cat([at_least_float32(x) for x in pieces], dim=1).detach()
    joined = gather_detached(own) if gather else own
    # Singular values don't exist then; the loss will tell. All processes see the same rows.
    if not bool(joined.isfinite().all()):
        return {}
    width = (joined.shape[1] - 2 * size) // 2
    z1, z2, f1, f2 = joined.split([size, size, width, width], dim=1)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    c1, c2 = F.normalize(f1, dim=1), F.normalize(f2, dim=1)
    floor, cap = entropy_window(kernel, width, len(joined))
    scalars: Scalars = {
        "uniformity": uniformity(u1, validate=False),
        "rankme": rankme(z1, validate=False),
        "rankme_cap": float(min(z1.shape)),
        "features_rankme": rankme(f1, validate=False),
        "features_rankme_cap": float(min(f1.shape)),
        "embedding_std": embedding_std(z1, validate=False),
        "embedding_std_cap": size**-0.5,
        "features_entropy": entropy(c2, kernel, validate=False),
        "features_entropy_floor": floor,
        "features_entropy_cap": cap,
    }
    if second == 0:  # one view
        return scalars
    return scalars | {
        "alignment": alignment(u1, u2, validate=False),
        "features_mi_bound": er_bound(c1, c2, kernel, validate=False).value,
        "features_mi_ceiling": cap - floor,
        "features_infonce": infonce_bound(c1, c2, kernel, validate=False).value,
    }


@torch.no_grad()
def measure_discriminants(record: Embeddings) -> Scalars:
    """LiDAR of projections and features, with each image's views as a class, of a record that every
    process holds whole; nothing where an image has one view, or where they are no numbers.

    ``lidar`` and ``features_lidar``, effective ranks, at most ``lidar_cap`` and
    ``features_lidar_cap``: channels, or images less one. The more views, the surer.
    """
    scalars: Scalars = {}
    for name, views in (("lidar", record.z), ("features_lidar", record.features)):
        z_nqd = at_least_float32(torch.stack(views, dim=1))
        if z_nqd.shape[1] < 2 or not bool(z_nqd.isfinite().all()):
            continue
        scalars[name] = lidar(z_nqd, validate=False)
        scalars[f"{name}_cap"] = float(min(z_nqd.shape[0] - 1, z_nqd.shape[2]))
    return scalars


def entropy_window(kernel: VonMisesFisher, d: int, k: int) -> tuple[float, float]:
    """The least (collapse) and the greatest value of ``joe`` from k samples, in nats."""
    floor = -(float(kernel.log_normalizer(d)) + float(kernel.kappa))
    return floor, floor + min(math.log(k), float(kernel.kappa))


def mean_scalars(measured: list[Scalars], like: Tensor) -> dict[str, Tensor]:
    """Of each scalar, over several measurements that all have it."""
    names = [name for name in measured[0] if all(name in one for one in measured)]
    every = [as_tensors(one, like) for one in measured]
    return {name: torch.stack([one[name] for one in every]).mean() for name in names}


def as_tensors(scalars: Scalars, like: Tensor) -> dict[str, Tensor]:
    """Numbers as tensors: mmengine's ``parse_losses`` takes nothing else, and a number that is
    filled in does not wait for the device.
    """
    return {
        name: value if isinstance(value, Tensor) else like.new_full((), value)
        for name, value in scalars.items()
    }
