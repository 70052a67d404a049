"""Information and geometry of the embeddings of held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mvssl.arguments import check_count, check_temperature
from mvssl.datasets.base import ImageDataset
from mvssl.errors import UserError
from mvssl.evaluation.base import Evaluator, Need, Shown
from mvssl.evaluation.inputs import Inputs
from mvssl.information import VonMisesFisher
from mvssl.measured import PANELS
from mvssl.models.measures import DISCRETE, measure, measure_discriminants, measure_geometry
from mvssl.registry import EVALUATORS

__all__ = ["Information"]


@EVALUATORS.register_module()
class Information(Evaluator):
    """What two views of a held-out image share, in nats, and how their embeddings lie.

    The scalars of training (``mvssl.models.measures``: ER estimate with its terms, ceiling, floor
    and cap, InfoNCE; RankMe, alignment, uniformity, the same of the features) and LiDAR, under
    names with ``heldout_`` before them. Where the objective has prototypes, ``heldout_assigned_*``
    are H(W), reconstruction, H(W|X) and so on of its assignments. It needs no labels.

    Args:
        kappa: concentration of the von Mises-Fisher density.
        images: the most images k of which views are compared, evenly spaced over the data set: the
            products are k x k, and k bounds what can be estimated, log k nats.

    Raises:
        UserError: ``images`` is not a number over 1, or ``kappa`` is not positive.
    """

    needs: ClassVar[tuple[Need, ...]] = ("record",)

    def __init__(self, kappa: float = 10.0, images: int = 2048) -> None:
        check_count("Information", at_least=2, images=images)
        check_temperature("Information", kappa=kappa)
        self.kernel = VonMisesFisher(kappa)
        self.kappa = kappa
        self.images = images

    def check_data(self, train: ImageDataset, test: ImageDataset) -> None:
        if len(test) < 2:
            raise UserError(
                f"Information compares held-out images, and {test.describe()} has "
                f"{'1 image' if len(test) else 'none'}: give 2 or more, or leave Information out."
            )

    @property
    def results(self) -> Mapping[str, Shown]:
        shown = {
            one.name: Shown(
                one.name, *(("nats", 2) if panel.unit == "nats" else ("", 3)), listed=False
            )
            for panel in PANELS
            for one in panel.members
            if one.held_out
        }
        shown["mi_bound"] = Shown("held-out MI", "nats", 2, "MI estimate, held-out images")
        shown["features_rankme"] = Shown(
            "held-out RankMe", "effective rank", 1, "RankMe of features, held-out images"
        )
        assigned = {
            f"assigned_{name}": Shown(f"prototypes: {name}", "nats", 2, listed=False)
            for name in DISCRETE
        }
        return {f"heldout_{name}": one for name, one in (shown | assigned).items()}

    @property
    def protocol(self) -> dict[str, Any]:
        return {"kappa": self.kappa, "images": self.images}

    def run(self, inputs: Inputs) -> dict[str, float]:
        record = inputs.record(self.images)
        scalars = measure(record, self.kernel, gather=False)
        scalars |= measure_geometry(record, self.kernel, gather=False)
        scalars |= measure_discriminants(record)
        assigned = inputs.head.measure_assigned(record)
        scalars |= {f"assigned_{name}": value for name, value in assigned.items()}
        return {f"heldout_{name}": float(value) for name, value in scalars.items()}
