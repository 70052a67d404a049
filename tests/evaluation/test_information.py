from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from mvssl.errors import UserError
from mvssl.evaluation import Information, evaluate, extract_record
from mvssl.models.measures import measure_discriminants
from mvssl.models.record import Embeddings
from tests.evaluation.small import CountedDigits, small_model


def unit(x: Tensor) -> Any:
    rows = x.double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def er(z1: Any, z2: Any, kappa: float) -> float:
    """Entropy by resubstitution plus reconstruction; the normaliser of the density cancels."""
    own = logsumexp(kappa * z2 @ z2.T, axis=1) - np.log(len(z2))
    return float((kappa * (z1 * z2).sum(axis=1) - own).mean())


def infonce(z1: Any, z2: Any, kappa: float) -> float:
    scores = kappa * z1 @ z2.T
    return float((np.diag(scores) - logsumexp(scores, axis=1)).mean() + np.log(len(z1)))


@pytest.mark.parametrize("kappa", [3.0, 10.0])
def test_held_out_information_is_that_of_the_formulas(kappa: float) -> None:
    model, test = small_model(), CountedDigits()
    found = evaluate(model, [Information(kappa=kappa)], test, test)
    record = extract_record(model, test)
    p, t = [unit(x) for x in record.p], [unit(x) for x in record.target]
    pairs = [(p[1], t[0]), (p[0], t[1])]  # a prediction with the target of the other view
    close: dict[str, Any] = {"rel": 1e-4, "abs": 1e-4}
    mean_er = np.mean([er(a, b, kappa) for a, b in pairs])
    assert found["heldout_mi_bound"] == pytest.approx(mean_er, **close)
    mean_nce = np.mean([infonce(a, b, kappa) for a, b in pairs])
    assert found["heldout_infonce"] == pytest.approx(mean_nce, **close)
    z = [unit(x) for x in record.z]
    assert found["heldout_alignment"] == pytest.approx(
        np.square(z[0] - z[1]).sum(axis=1).mean(), **close
    )
    singular = np.linalg.svd(record.features[0].double().numpy(), compute_uv=False)
    share = singular / singular.sum()
    rank = np.exp(-(share * np.log(share + 1e-7)).sum())
    assert found["heldout_features_rankme"] == pytest.approx(rank, rel=1e-2)
    assert found["heldout_mi_ceiling"] == pytest.approx(min(np.log(36), kappa))


@pytest.mark.parametrize("name", ["z", "features"])
def test_lidar_is_the_effective_rank_of_the_discriminants_of_images(name: str) -> None:
    """Thilak et al. 2024, by NumPy: the eigenvalues of S_w^(-1/2) S_b S_w^(-1/2)."""
    model, test = small_model(), CountedDigits()
    found = evaluate(model, [Information()], test, test)
    views = getattr(extract_record(model, test), name)
    x = np.stack([one.double().numpy() for one in views], axis=1)
    n, q, d = x.shape
    means = x.mean(axis=1)
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0)) / n
    spread = (x - means[:, None]).reshape(n * q, d)
    within = spread.T @ spread / (n * q) + 1e-4 * np.eye(d)
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ between @ root).clip(min=0)
    share = eigenvalues / eigenvalues.sum() + 1e-7
    key = "heldout_lidar" if name == "z" else "heldout_features_lidar"
    assert found[key] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-3)
    assert found[f"{key}_cap"] == min(n - 1, d)
    assert 1 < found[key] < d


def test_lidar_needs_two_views_of_an_image() -> None:
    record = extract_record(small_model(), CountedDigits())
    assert set(measure_discriminants(record)) == {
        f"{start}lidar{end}" for start in ("", "features_") for end in ("", "_cap")
    }
    one = Embeddings(record.features[:1], record.z[:1], record.p[:1], record.target, record.index)
    assert measure_discriminants(one) == {}
    bad = record.map(lambda x: x * torch.nan if x.is_floating_point() else x)
    assert measure_discriminants(bad) == {}


def softmax(x: Any) -> Any:
    return np.exp(x - logsumexp(x, axis=1, keepdims=True))


DINO = {
    "neck": {
        "type": "PrototypeNeck",
        "projector": {"type": "MLP", "hidden_channels": 8, "out_channels": 4},
        "num_prototypes": 6,
    },
    "predictor": None,
    "head": {
        "type": "AssignmentHead",
        "assigner": {"type": "Centering", "teacher_temp": 0.04},
        "student_temp": 0.1,
    },
}
SWAV = {
    "predictor": None,
    "teacher": None,
    "head": {
        "type": "DiscreteERHead",
        "num_prototypes": 6,
        "assigner": {"type": "Sharpening", "teacher_temp": 0.05},
        "student_temp": 0.1,
    },
}


@pytest.mark.parametrize(("parts", "sharp"), [(DINO, 0.04), (SWAV, 0.05)])
def test_held_out_assignments_are_measured_by_their_definition(
    parts: dict[str, Any], sharp: float
) -> None:
    model, test = small_model(**parts), CountedDigits()
    information = Information()
    found = evaluate(model, [information], test, test)
    assert set(found) <= set(information.results)
    record = extract_record(model, test)
    if parts is DINO:
        assert record.logits is not None
        assert record.target_logits is not None
        model.head.assigner.center.normal_()  # not zero, as after training
        found = evaluate(model, [information], test, test)
        centre = model.head.assigner.center.double().numpy()
        students = [x.double().numpy() for x in record.logits]
        targets = [x.double().numpy() - centre for x in record.target_logits]
    else:
        weights = model.head.prototypes.state_dict()
        (w,) = [unit(x) for x in weights.values()]
        students = [unit(x) @ w.T for x in record.p]
        targets = [unit(x) @ w.T for x in record.target]
    t = [softmax(x / sharp) for x in targets]
    s = [softmax(x / 0.1) for x in students]
    mean_t = [x.mean(axis=0) for x in t]
    h = np.mean([-(x * np.log(x)).sum() for x in mean_t])
    fit = np.mean([(t[g] * np.log(s[1 - g])).sum(axis=1).mean() for g in (0, 1)])
    rows = np.mean([-(x * np.log(x + 1e-300)).sum(axis=1).mean() for x in t])
    close: dict[str, Any] = {"rel": 1e-4, "abs": 1e-4}
    assert found["heldout_assigned_entropy"] == pytest.approx(h, **close)
    assert found["heldout_assigned_reconstruction"] == pytest.approx(fit, **close)
    assert found["heldout_assigned_information"] == pytest.approx(h - rows, **close)
    assert found["heldout_assigned_entropy_cap"] == pytest.approx(np.log(6))


def test_every_result_is_named_and_two_are_listed() -> None:
    information = Information()
    found = evaluate(small_model(), [information], CountedDigits(), CountedDigits())
    named = {name for name in information.results if not name.startswith("heldout_assigned_")}
    assert set(found) == named  # and the others where there are prototypes
    listed = [name for name, shown in information.results.items() if shown.listed]
    assert listed == ["heldout_mi_bound", "heldout_features_rankme"]


def test_at_most_so_many_images_are_compared() -> None:
    test = CountedDigits()
    found = evaluate(small_model(), [Information(images=9)], test, test)
    assert found["heldout_mi_ceiling"] == pytest.approx(np.log(9))
    assert test.reads.sum() == 9


@pytest.mark.parametrize(
    ("wrong", "told"), [({"images": 1}, "images is an integer"), ({"kappa": -1.0}, "kappa")]
)
def test_its_numbers_are_checked(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Information(**wrong)
