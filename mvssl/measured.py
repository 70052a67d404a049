"""The scalars that runs measure: how each is called, and where it is shown. One table for all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

__all__ = ["MEASURED", "PANELS", "Measured", "Scalars"]


@dataclass(frozen=True)
class Measured:
    """A scalar, by the name that it has in curves and summaries.

    Attributes:
        name: of it.
        label: beside the others of its panel; empty where it is alone there.
        tone: which of the colours of curves it has, from 0.
        limit: whether it says how far another one can go: a floor, a cap, a ceiling.
        drawn: whether it has a curve at all.
        held_out: whether it is one of a record alone, so that held-out images have it too.
        summary: whether its mean over the last epoch is in the summary.
        card: its name in a model card; empty: it is left out.
        title: where it stands alone.
        compared: its place among the curves of several runs; None: it is not there.
        column: title of its column where runs are compared.
        chart: of TensorBoard, in which it is beside its limits.
    """

    name: str
    label: str = ""
    tone: int = 0
    limit: bool = False
    drawn: bool = True
    held_out: bool = False
    summary: bool = False
    card: str = ""
    title: str = ""
    compared: int | None = None
    column: str = ""
    chart: str = ""


@dataclass(frozen=True)
class Scalars:
    """Scalars that share a panel, and an axis.

    Attributes:
        title: of the panel.
        unit: of all of them.
        section: of a page, in which it is.
        group: of TensorBoard and other loggers.
        members: of it; limits are drawn after the others.
        zero: whether the axis must reach down to 0.
        picture: its place in ``curves.png``; None: it is not there.
    """

    title: str
    unit: str
    section: str
    group: str
    members: tuple[Measured, ...]
    zero: bool = False
    picture: int | None = None


_record = partial(Measured, held_out=True)
_limit = partial(Measured, held_out=True, limit=True)
_summarised = partial(Measured, held_out=True, summary=True)
_information = partial(Scalars, unit="nats", section="Information", group="information")
_geometry = partial(Scalars, section="Geometry", group="geometry")
_optimisation = partial(Scalars, section="Optimisation", group="optim")

PANELS: Final[tuple[Scalars, ...]] = (
    _information(
        "Entropy",
        picture=1,
        members=(
            _summarised(
                "entropy",
                "target",
                card="entropy",
                title="Entropy",
                compared=2,
                chart="entropy",
            ),
            Measured("entropy_trained", "trained", 1, summary=True),
            _record("student_entropy", "student", 2),
            _limit("entropy_cap", "cap", summary=True, chart="entropy"),
            _limit("entropy_floor", "floor", summary=True, chart="entropy"),
        ),
    ),
    _information(
        "Reconstruction",
        picture=2,
        members=(
            _summarised(
                "reconstruction",
                tone=2,
                card="reconstruction",
                title="Reconstruction",
                compared=3,
            ),
        ),
    ),
    _information(
        "Mutual information between views",
        zero=True,
        picture=3,
        members=(
            _summarised(
                "mi_bound",
                "ER estimate",
                card="MI estimate",
                title="Mutual information: ER estimate",
                compared=0,
                column="MI, nats",
                chart="mutual information",
            ),
            _summarised(
                "mi_ceiling",
                "ER ceiling",
                limit=True,
                card="MI ceiling",
                column="at most",
                chart="mutual information",
            ),
            _summarised(
                "infonce",
                "InfoNCE",
                1,
                card="InfoNCE",
                title="Mutual information: InfoNCE",
                compared=1,
                column="InfoNCE",
                chart="mutual information",
            ),
        ),
    ),
    _information(
        "Prototypes",
        zero=True,
        members=(
            Measured("information", "H(W) − H(W|X)"),
            Measured("conditional_entropy", "H(W|X)", 1),
            Measured("kl", "KL", 2),
        ),
    ),
    _information(
        "Information in the features",
        zero=True,
        members=(
            _record("features_mi_bound", "ER estimate", chart="features_mutual information"),
            _limit("features_mi_ceiling", "ER ceiling", chart="features_mutual information"),
            _record("features_infonce", "InfoNCE", 1, chart="features_mutual information"),
        ),
    ),
    _information(
        "Entropy of the features",
        members=(
            _record("features_entropy", "features", chart="features_entropy"),
            _limit("features_entropy_cap", "cap", chart="features_entropy"),
            _limit("features_entropy_floor", "floor", chart="features_entropy"),
        ),
    ),
    _geometry(
        "RankMe",
        "effective rank",
        zero=True,
        members=(
            _record(
                "rankme",
                "projections",
                title="RankMe of the projections",
                compared=4,
                chart="rankme",
            ),
            _record(
                "features_rankme",
                "features",
                1,
                title="RankMe of the features",
                compared=5,
                chart="features_rankme",
            ),
            _limit("rankme_cap", "cap", chart="rankme"),
            _limit("features_rankme_cap", drawn=False, chart="features_rankme"),
        ),
    ),
    _geometry(
        "LiDAR",
        "effective rank",
        zero=True,
        members=(
            _record("lidar", "projections"),
            _record("features_lidar", "features", 1),
            _limit("lidar_cap", "cap"),
            _limit("features_lidar_cap", drawn=False),
        ),
    ),
    _geometry(
        "Alignment",
        "lower: views agree",
        zero=True,
        members=(_record("alignment", tone=2, title="Alignment", compared=6),),
    ),
    _geometry(
        "Uniformity",
        "lower: more spread",
        members=(_record("uniformity", tone=2, title="Uniformity", compared=7),),
    ),
    _geometry(
        "Standard deviation",
        "of the embeddings",
        zero=True,
        members=(
            _record("embedding_std", chart="embedding_std"),
            _limit("embedding_std_cap", "fills the sphere", chart="embedding_std"),
        ),
    ),
    _optimisation(
        "Training loss",
        "",
        picture=0,
        members=(Measured("loss", summary=True, title="Training loss", compared=8),),
    ),
    _optimisation(
        "Learning rate",
        "",
        zero=True,
        members=(Measured("lr", tone=2, title="Learning rate", compared=9),),
    ),
    _optimisation(
        "Teacher momentum", "share kept", members=(Measured("teacher_momentum", tone=2),)
    ),
    _optimisation(
        "Movement",
        "relative to the weights",
        group="health",
        zero=True,
        members=(
            Measured("weights_moved", "student"),
            Measured("teacher_moved", "teacher", 1),
            Measured("teacher_distance", "between them", 2),
            Measured("healthy", drawn=False),  # the verdict tells it
        ),
    ),
    _optimisation(
        "Speed",
        "images/s",
        group="speed",
        zero=True,
        members=(Measured("images_per_second", tone=2, summary=True),),
    ),
)
"""In the order in which a page shows them."""

MEASURED: Final = {one.name: one for panel in PANELS for one in panel.members}
"""All of them by their names."""
