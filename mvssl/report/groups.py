"""Which curves of a run stand beside each other on its page."""

from __future__ import annotations

from collections.abc import Mapping

from mvssl.engine.history import History
from mvssl.evaluation import Shown
from mvssl.report.curves import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Curve,
    Panel,
    curve_of,
    result_panels,
    with_data,
)

__all__ = ["curve_groups"]

# Title, unit, whether the axis reaches down to 0, and curves: name, label, colour; grey ones are
# what the others are read against.
Sketch = tuple[str, str, bool, tuple[tuple[str, str, str], ...]]

INFORMATION: tuple[Sketch, ...] = (
    (
        "Entropy",
        "nats",
        False,
        (
            ("entropy", "target", BLUE),
            ("entropy_trained", "trained", ORANGE),
            ("student_entropy", "student", GREEN),
            ("entropy_cap", "cap", GREY),
            ("entropy_floor", "floor", GREY),
        ),
    ),
    ("Reconstruction", "nats", False, (("reconstruction", "", GREEN),)),
    (
        "Mutual information between views",
        "nats",
        True,
        (
            ("mi_bound", "ER estimate", BLUE),
            ("infonce", "InfoNCE", ORANGE),
            ("mi_ceiling", "ceiling", GREY),
        ),
    ),
    (
        "Prototypes",
        "nats",
        True,
        (
            ("information", "H(W) − H(W|X)", BLUE),
            ("conditional_entropy", "H(W|X)", ORANGE),
            ("kl", "KL", GREEN),
        ),
    ),
    (
        "Information in the features",
        "nats",
        True,
        (
            ("features_mi_bound", "ER estimate", BLUE),
            ("features_infonce", "InfoNCE", ORANGE),
            ("features_mi_ceiling", "ceiling", GREY),
        ),
    ),
    (
        "Entropy of the features",
        "nats",
        False,
        (
            ("features_entropy", "features", BLUE),
            ("features_entropy_cap", "cap", GREY),
            ("features_entropy_floor", "floor", GREY),
        ),
    ),
)
GEOMETRY: tuple[Sketch, ...] = (
    (
        "RankMe",
        "effective rank",
        True,
        (
            ("rankme", "projections", BLUE),
            ("features_rankme", "features", ORANGE),
            ("rankme_cap", "cap", GREY),
        ),
    ),
    ("Alignment", "lower: views agree", True, (("alignment", "", GREEN),)),
    ("Uniformity", "lower: more spread", False, (("uniformity", "", GREEN),)),
    (
        "Standard deviation",
        "of the embeddings",
        True,
        (("embedding_std", "", BLUE), ("embedding_std_cap", "fills the sphere", GREY)),
    ),
)
OPTIMISATION: tuple[Sketch, ...] = (
    ("Training loss", "", False, (("loss", "", BLUE),)),
    ("Learning rate", "", True, (("lr", "", GREEN),)),
    ("Teacher momentum", "share kept", False, (("teacher_momentum", "", GREEN),)),
    (
        "Movement",
        "relative to the weights",
        True,
        (
            ("weights_moved", "student", BLUE),
            ("teacher_moved", "teacher", ORANGE),
            ("teacher_distance", "between them", GREEN),
        ),
    ),
    ("Speed", "images/s", True, (("images_per_second", "", GREEN),)),
)
# Told by the verdict, and references of panels that may be missing.
LEFT_OUT = frozenset({"healthy", "features_rankme_cap"})


def curve_groups(
    history: History, steps_per_epoch: float, results: Mapping[str, Shown]
) -> dict[str, list[Panel]]:
    """The panels that there is data for, by the title of their group.

    Args:
        history: the run's scalars. What none of the known panels shows has one of its own.
        steps_per_epoch: iterations in an epoch.
        results: how the results of evaluators are shown.
    """
    sketched = {"Information": INFORMATION, "Geometry": GEOMETRY, "Optimisation": OPTIMISATION}

    def drawn(sketch: Sketch) -> Panel:
        title, unit, zero, curves = sketch
        made = [
            curve_of(history, steps_per_epoch, name, label, color, color == GREY)
            for name, label, color in curves
        ]
        return Panel(title, unit, made, zero=zero)

    groups = {"Evaluation": with_data(result_panels(history, steps_per_epoch, results))}
    groups |= {title: with_data([drawn(one) for one in some]) for title, some in sketched.items()}
    known = {name for some in sketched.values() for one in some for name, _, _ in one[3]}
    known |= {*results, *(f"{name}_pixels" for name in results), *LEFT_OUT}
    others = [name for name in history.names() if name not in known]
    groups["Others"] = with_data([_alone(history, steps_per_epoch, name) for name in others])
    return groups


def _alone(history: History, steps_per_epoch: float, name: str) -> Panel:
    curve: Curve = curve_of(history, steps_per_epoch, name, "", BLUE)
    return Panel(name, "", [curve])
