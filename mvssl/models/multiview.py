"""The one algorithm class: backbone, neck, predictor, teacher and head, composed by a config."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mvssl.arguments import check_count
from mvssl.errors import UserError
from mvssl.models.measures import Scalars
from mvssl.models.prototypes import Prototypes
from mvssl.models.record import Embeddings
from mvssl.models.teacher import EMATeacher
from mvssl.registry import BACKBONES, HEADS, MODELS, NECKS, build_part

__all__ = ["Monitor", "MultiView"]

Monitor = Callable[[Embeddings], Scalars]
"""Scalars of a detached record whose targets are those of the head."""


@MODELS.register_module()
class MultiView(nn.Module):
    """``embed`` makes one record of a batch's views, ``loss`` turns it into what is trained.

    A method (SimCLR, BYOL, DINO, ...) is a composition of parts written in a config, not a class.
    How a step is taken is left to the train loop (``mvssl.engine.loop``).

    Args:
        backbone: a member of BACKBONES, images (N, 3, s, s) to pooled features (N, C).
        neck: a member of NECKS, features to projections (N, D); ``in_channels`` is filled in.
        head: a member of HEADS, the record to a dict of losses and scalars.
        predictor: a member of NECKS, projections to predictions (N, D); sizes are filled in.
        teacher: ``EMATeacher`` arguments, or None for a method without a teacher.
        num_targets: how many of the first views serve as targets (the global views).
        teacher_only_views: how many of the first views the teacher alone embeds, for methods that
            compare in one direction (MoCo v2, ReSSL).
        views_together: whether views of one size pass through the networks as one batch, so that
            BatchNorm normalises them by joint statistics, or each view by itself, as the authors'
            code of some methods has it (docs/methods.md).
        data_preprocessor: makes views from a batch of images (``MultiViewPreprocessor``).

    Raises:
        UserError: more targets than views, or fewer views than the head's ``min_views``.
    """

    # Whatever a config put there.
    data_preprocessor: Any  # mvssl.views.Preprocessor, or None
    backbone: Any
    head: Any

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        teacher: dict[str, Any] | None = None,
        num_targets: int = 2,
        teacher_only_views: int = 0,
        views_together: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        # None in a notebook that has its views already.
        self.data_preprocessor = data_preprocessor and MODELS.build(data_preprocessor)
        self.backbone = BACKBONES.build(backbone)
        self.neck = build_part(NECKS, neck, in_channels=self.backbone.num_features)
        size = self.neck.out_channels
        self.predictor = (
            build_part(NECKS, predictor, in_channels=size, out_channels=size)
            if predictor is not None
            else None
        )
        self.teacher: EMATeacher | None = None
        if teacher is not None:
            self.teacher = MODELS.build({"type": "EMATeacher", **teacher})
            self.teacher.copy_from(self.taught_parts)
        # A neck of the user's own need not know of prototypes.
        num_logits = getattr(self.neck, "num_prototypes", None)
        self.head = build_part(HEADS, head, in_channels=size, num_logits=num_logits)
        self.num_targets = num_targets
        self.teacher_only_views = teacher_only_views
        self._check_parts(num_logits)
        self._check_views()
        check_count("model", num_targets=num_targets)
        check_count("model", at_least=0, teacher_only_views=teacher_only_views)
        self.views_together = views_together

    def _check_parts(self, num_logits: int | None) -> None:
        head = type(self.head).__name__
        if self.head.needs_logits and num_logits is None:
            raise UserError(
                f"{head} works on prototypes, and the neck has none: give "
                f"model.head.num_prototypes, or a neck that ends in prototypes (PrototypeNeck)."
            )
        # What the loss does not reach has no gradient, which several processes would wait for.
        if num_logits is not None and not self.head.needs_logits:
            raise UserError(
                f"{head} does not look at the neck's prototypes: give the neck's projector "
                f"(such as type='MLP') as model.neck, or a head on its logits (AssignmentHead, "
                f"DiscreteERHead without num_prototypes)."
            )
        unused = {"predictor": self.predictor, "teacher": self.teacher}
        found = [f"model.{name}" for name, part in unused.items() if part is not None]
        if self.head.projections_only and found:
            raise UserError(
                f"{head} looks at projections alone, so {' and '.join(found)} would never be used: "
                f"set them to None, or choose PairHead."
            )
        if self.head.needs_logits and self.predictor is not None:
            raise UserError(
                f"{head} looks at the logits of the neck's prototypes, so model.predictor would "
                f"never be trained: set it to None."
            )
        if self.teacher is not None and self.head.trains_targets:
            raise UserError(
                f"model.head.target.stop_gradient=False has {head} train its targets, and those of "
                f"model.teacher carry no gradient: leave it out, or set model.teacher to None."
            )
        if self.teacher_only_views and self.teacher is None:
            raise UserError(
                f"model.teacher_only_views is {self.teacher_only_views}, and there is no "
                f"model.teacher to embed them: leave it out, or give a teacher."
            )
        if self.teacher_only_views > self.num_targets:
            raise UserError(
                f"model.teacher_only_views is {self.teacher_only_views}, but the teacher embeds "
                f"the first num_targets={self.num_targets} views alone: lower it."
            )

    def _check_views(self) -> None:
        num_views = getattr(self.data_preprocessor, "num_views", None)
        if num_views is None:  # a preprocessor of the user's own, which need not say
            return
        head = type(self.head).__name__
        if num_views < self.head.min_views:
            raise UserError(
                f"{head} needs at least {self.head.min_views} views of an image, but "
                f"data_preprocessor.views makes {num_views}: choose another view set."
            )
        if not 1 <= self.num_targets <= num_views:
            raise UserError(
                f"model.num_targets is {self.num_targets}, but data_preprocessor.views makes "
                f"{num_views} views: give a number from 1 to {num_views}."
            )
        if not 0 <= self.teacher_only_views < num_views:
            raise UserError(
                f"model.teacher_only_views is {self.teacher_only_views}, but "
                f"data_preprocessor.views makes {num_views} views: give less, so that the student "
                f"has one."
            )

    @property
    def prototypes(self) -> Prototypes | None:
        """Those in which the neck ends, if it does."""
        return getattr(self.neck, "prototypes", None)

    @property
    def taught_parts(self) -> dict[str, nn.Module]:
        """The student's parts of which the teacher holds an average."""
        return {"backbone": self.backbone, "neck": self.neck}

    def init_weights(self) -> None:
        """Leave teacher equal to student; all other weights stay as the parts have drawn them."""
        if self.teacher is not None:
            self.teacher.reset(self.taught_parts)

    def forward(self, views: list[Tensor], index: Tensor) -> Embeddings:
        """:meth:`embed`."""
        return self.embed(views, index)

    def embed(self, views: list[Tensor], index: Tensor, targets: bool = True) -> Embeddings:
        """The record of a batch.

        Args:
            views: V x (B, 3, s, s), normalised.
            index: (B,) sample numbers.
            targets: False for what the student makes alone.
        """
        features, z, p = self.embed_student(views)
        target = self._targets(views[: self.num_targets], z) if targets else []
        logits, target_logits = self._logits(z, target)
        numbers = range(len(views))
        return Embeddings(
            features=features,
            z=z,
            p=p,
            target=target,
            index=index,
            logits=logits,
            target_logits=target_logits,
            views=tuple(numbers[self.teacher_only_views :]),
            target_views=tuple((number,) for number in numbers[: len(target)]),
        )

    def loss(self, record: Embeddings, monitor: Monitor | None = None) -> Scalars:
        """The head's losses and scalars (nats) of a record; what contains "loss" is trained.

        Args:
            record: what :meth:`embed` made, of the whole batch.
            monitor: what is to be measured of the record beside; then the head reports, too, what
                takes more time than every step should.

        Raises:
            UserError: the head returns anything but a mapping.
        """
        # Objectives are computed in full precision: logits over a temperature of 0.05, say, would
        # multiply bfloat16's error by 20.
        with torch.autocast(record.index.device.type, enabled=False):
            record = self.head.resolve(record.upcast())
            self.head.measuring = monitor is not None
            # Measured first: the head may move its memory, and with it its targets.
            measured = {} if monitor is None else monitor(record.detach())
            compared = self.head.compare(record)
            if not isinstance(compared, Mapping):
                raise UserError(
                    f"model.head: {type(self.head).__name__} returns a {type(compared).__name__}, "
                    f"not losses and scalars by their names: return dict(loss=...)."
                )
            return {**compared, **measured}

    def _targets(self, views: list[Tensor], z: list[Tensor]) -> list[Tensor]:
        """Of the global views: the teacher's projections, or the student's own."""
        if self.teacher is None:
            return z[: self.num_targets]
        return [
            target
            for part in self._passes(views)
            for target in self.teacher(joined(part)).chunk(len(part))
        ]

    def _logits(
        self, z: list[Tensor], targets: list[Tensor]
    ) -> tuple[list[Tensor] | None, list[Tensor] | None]:
        """Of projections and targets, where the neck ends in prototypes."""
        if self.prototypes is None:
            return None, None
        logits = [self.prototypes(x)[0] for x in z]
        if self.teacher is None:
            return logits, logits[: len(targets)]
        taught: Any = self.teacher.parts["neck"]
        with torch.no_grad():
            return logits, [taught.prototypes(x)[0] for x in targets]

    def embed_student(self, views: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Features, projections and predictions of the views that the student sees; the last two
        are one list where there is no predictor.
        """
        features: list[Tensor] = []
        z: list[Tensor] = []
        p: list[Tensor] = []
        for part in self._passes(views[self.teacher_only_views :]):
            part_features = self.backbone(joined(part))
            part_z = self.neck(part_features)
            features += part_features.chunk(len(part))
            z += part_z.chunk(len(part))
            if self.predictor is not None:
                p += self.predictor(part_z).chunk(len(part))
        return features, z, z if self.predictor is None else p

    def _passes(self, views: list[Tensor]) -> list[list[Tensor]]:
        """Views that go through the networks at once."""
        return _by_shape(views) if self.views_together else [[view] for view in views]


def _by_shape(views: list[Tensor]) -> list[list[Tensor]]:
    """Neighbouring views of one shape together: one pass of the backbone for each group."""
    groups: list[list[Tensor]] = []
    for view in views:
        if groups and groups[-1][0].shape == view.shape:
            groups[-1].append(view)
        else:
            groups.append([view])
    return groups


def joined(views: list[Tensor]) -> Tensor:
    """``torch.cat`` of views, (B, C, s, s) each; a look at their memory where they are pieces of
    one tensor already, one after the other.
    """
    first, place = views[0], views[0].storage_offset()
    for view in views:
        if (
            torch.compiler.is_compiling()  # which cannot look
            or view.requires_grad
            or not view.is_contiguous()
            or view.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
            or view.storage_offset() != place
        ):
            return torch.cat(views)
        place += view.numel()
    sizes = first.shape[1:]
    # Not those of a piece: of one image the distance to the next says nothing.
    strides = [math.prod(sizes[axis:]) for axis in range(len(sizes) + 1)]
    return first.as_strided((sum(len(view) for view in views), *sizes), strides)
