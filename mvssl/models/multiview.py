"""The one algorithm class: backbone, neck, predictor, teacher and head, composed by a config."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mvssl.errors import UserError
from mvssl.models.micro_batch import Gradients, cached_step, surrogate
from mvssl.models.prototypes import Prototypes
from mvssl.models.record import Embeddings
from mvssl.models.teacher import EMATeacher
from mvssl.registry import BACKBONES, HEADS, MODELS, NECKS, build_part

__all__ = ["MultiView"]


@MODELS.register_module()
class MultiView(BaseModel):
    """Embeds the views of a batch and hands one record to the head.

    A method (SimCLR, BYOL, DINO, ...) is a composition of parts written in a config, not a class.

    Args:
        backbone: a member of BACKBONES, images (N, 3, s, s) to pooled features (N, C).
        neck: a member of NECKS, features to projections (N, D); ``in_channels`` is filled in.
        head: a member of HEADS, the record to a dict of losses and scalars.
        predictor: a member of NECKS, projections to predictions (N, D); sizes are filled in.
        teacher: ``EMATeacher`` arguments, or None for a method without a teacher.
        num_targets: how many of the first views serve as targets (the global views).
        teacher_only_views: how many of the first views the teacher alone embeds, for methods that
            compare in one direction (MoCo v2, ReSSL).
        data_preprocessor: makes views from a batch of images (``MultiViewPreprocessor``).
        micro_batch_size: images of a process that pass through the network at once; the gradient
            stays that of the whole batch (``mvssl.models.micro_batch``). None: all at once.

    Raises:
        UserError: more targets than views, or fewer views than the head's ``min_views``.
    """

    data_preprocessor: nn.Module

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        teacher: dict[str, Any] | None = None,
        num_targets: int = 2,
        teacher_only_views: int = 0,
        data_preprocessor: dict[str, Any] | None = None,
        micro_batch_size: int | None = None,
    ) -> None:
        # Built here: mmengine would look in its own registry only.
        super().__init__(data_preprocessor and MODELS.build(data_preprocessor))
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
        if micro_batch_size is not None and micro_batch_size < 1:
            raise UserError(f"model.micro_batch_size is at least 1, got {micro_batch_size}.")
        self.micro_batch_size = micro_batch_size
        # A monitor sets `keep_record` before an iteration to find the detached record afterwards.
        self.keep_record = False
        self.record: Embeddings | None = None
        self._check_views()

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
                f"{head} looks at projections alone, so {' and '.join(found)} would stand idle: "
                f"set them to None, or choose PairHead."
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
        """Leave teacher equal to student.

        Parts initialise themselves when they are built. mmengine would walk down the children and
        redraw every timm model, pretrained ones included, so its walk ends here.
        """
        if self.teacher is not None:
            self.teacher.reset(self.taught_parts)
        self._is_init = True

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One optimiser step on a loader's batch; its scalars."""
        if self.micro_batch_size is None:
            return super().train_step(data, optim_wrapper)
        return cached_step(self, self, data, optim_wrapper)

    def forward(
        self,
        inputs: list[Tensor] | Tensor,
        index: Tensor | None = None,
        label: Tensor | None = None,
        mode: str = "tensor",
        grads: Gradients | None = None,
    ) -> dict[str, Tensor] | Tensor:
        """What the engine calls, through DDP too.

        - ``mode='tensor'``: images (B, 3, s, s) to features (B, C);
        - ``mode='loss'``: V views (B, 3, s, s) to losses and scalars (nats);
        - ``mode='surrogate'``: V views and the gradients of the loss with respect to their
          embeddings to a scalar with that gradient (``mvssl.models.micro_batch``).

        ``label`` is accepted, since batches may carry it, and never used.
        """
        if mode == "tensor":
            return self.backbone(inputs)
        if mode not in ("loss", "surrogate"):
            raise ValueError(f"MultiView.forward: there is no mode {mode!r}.")
        assert not isinstance(inputs, Tensor)
        if mode == "surrogate":
            assert grads is not None
            return surrogate(self, inputs, grads)
        assert index is not None
        return self.judge(self.embed(inputs, index))

    def judge(self, record: Embeddings) -> dict[str, Tensor]:
        """The head's losses and scalars of a record, which is kept where a monitor asks for it."""
        # Objectives are computed in full precision: logits over a temperature of 0.05, say, would
        # multiply bfloat16's error by 20.
        with torch.autocast(record.index.device.type, enabled=False):
            record = self.head.resolve(record.upcast())
            self.record = record.detach() if self.keep_record else None
            self.head.measuring = self.keep_record
            return self.head.compare(record)

    def embed(self, views: list[Tensor], index: Tensor) -> Embeddings:
        """The record of a batch of views, V x (B, 3, s, s)."""
        return self.add_logits(self.project(views, index))

    def project(self, views: list[Tensor], index: Tensor) -> Embeddings:
        """The record without logits."""
        features, z, p = self.embed_student(views)
        globals_ = views[: self.num_targets]
        if self.teacher is None:
            targets = z[: self.num_targets]
        else:
            targets = [
                target
                for part in _by_shape(globals_)
                for target in self.teacher(torch.cat(part)).chunk(len(part))
            ]
        numbers = range(len(views))
        return Embeddings(
            features=features,
            z=z,
            p=p,
            target=targets,
            index=index,
            views=tuple(numbers[self.teacher_only_views :]),
            target_views=tuple(numbers[: len(targets)]),
        )

    def add_logits(self, record: Embeddings) -> Embeddings:
        """The record with logits, where the neck ends in prototypes."""
        prototypes = self.prototypes
        if prototypes is None:
            return record
        logits = [prototypes(z)[0] for z in record.z]
        if self.teacher is None:
            return replace(record, logits=logits, target_logits=logits[: len(record.target)])
        taught: Any = self.teacher.parts["neck"]
        with torch.no_grad():
            target_logits = [taught.prototypes(x)[0] for x in record.target]
        return replace(record, logits=logits, target_logits=target_logits)

    def embed_student(self, views: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Features, projections and predictions of the views that the student sees; the last two
        are one list where there is no predictor.
        """
        features: list[Tensor] = []
        z: list[Tensor] = []
        p: list[Tensor] = []
        for part in _by_shape(views[self.teacher_only_views :]):
            part_features = self.backbone(torch.cat(part))
            part_z = self.neck(part_features)
            features += part_features.chunk(len(part))
            z += part_z.chunk(len(part))
            if self.predictor is not None:
                p += self.predictor(part_z).chunk(len(part))
        return features, z, z if self.predictor is None else p


def _by_shape(views: list[Tensor]) -> list[list[Tensor]]:
    """Neighbouring views of one shape together: one pass of the backbone for each group."""
    groups: list[list[Tensor]] = []
    for view in views:
        if groups and groups[-1][0].shape == view.shape:
            groups[-1].append(view)
        else:
            groups.append([view])
    return groups
