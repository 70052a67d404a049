"""What a run leaves behind: backbone, summary, figures, and the report on the console."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from mvssl.datasets.base import ImageDataset
from mvssl.engine import Job, Runner
from mvssl.models import MultiView
from mvssl.models.backbones import save_backbone
from mvssl.opencv import cv2
from mvssl.report.curves import plot_curves
from mvssl.report.figures import plot_views
from mvssl.report.standing import evaluators_of, summary_of
from mvssl.report.tables import print_report, write_summary
from mvssl.run_files import BACKBONE, LOG, PAGE, SUMMARY, TEACHER, VIEWS

__all__ = ["write_outputs", "write_views"]

NUM_SHOWN = 8


def write_views(model: MultiView, dataset: ImageDataset, path: Path) -> None:
    """A picture of the views that the model is trained on."""
    preprocessor = model.data_preprocessor
    step = max(len(dataset) // NUM_SHOWN, 1)
    indices = range(0, min(len(dataset), step * NUM_SHOWN), step)
    transform, dataset.view_transform = dataset.view_transform, preprocessor.host_transform()
    try:
        batch = default_collate([dataset[(i, 0)] for i in indices])
    finally:
        dataset.view_transform = transform
    shown = list(dataset.shown_channels)
    views = [view.cpu()[:, shown] for view in preprocessor.make_views(batch)]
    sides = None
    if "image" in batch:
        originals = batch["image"].cpu()[:, shown]
        if originals.is_floating_point():
            originals = (255.0 * originals).round().to(torch.uint8)
    else:
        originals, sides = _squares(dataset, batch["index"].tolist(), preprocessor.size)
    plot_views(originals, views, path, sides)


def _squares(
    dataset: ImageDataset, indices: list[int], size: int
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Images of any shape, uint8 (n, 3, size, size), whole, on white; and what sides they have."""
    squares, sides = np.full((len(indices), size, size, 3), 255, np.uint8), []
    for square, index in zip(squares, indices, strict=True):
        image = dataset.pixels(index)
        if image is None:
            continue
        image = image[..., dataset.shown_channels]
        image = image if image.dtype == np.uint8 else np.rint(255.0 * image).astype(np.uint8)
        height, width = image.shape[:2]
        sides.append((height, width))
        scale = size / max(height, width)
        height, width = max(round(height * scale), 1), max(round(width * scale), 1)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        top, left = (size - height) // 2, (size - width) // 2
        square[top : top + height, left : left + width] = small
    return torch.from_numpy(squares).permute(0, 3, 1, 2), sides


def write_outputs(runner: Runner, job: Job) -> dict[str, Any]:
    """Write backbone, curves and summary into the work dir, and print the report.

    Args:
        runner: after training.
        job: what it was made of.
    """
    folder = Path(runner.work_dir)
    file = folder / BACKBONE
    evaluators = evaluators_of(job)
    model = runner.model
    built = job.cfg.model.backbone.to_dict()
    backbone = save_backbone(model.backbone, file, built, job.expected)
    if model.teacher is not None and "backbone" in model.teacher.parts:
        save_backbone(model.teacher.parts["backbone"], folder / TEACHER, built, job.expected)
    plot_curves(
        runner.history,
        folder / "curves.png",
        # The mean, where the batch was another one before a resume.
        steps_per_epoch=runner.iter / max(runner.epoch, 1) or len(runner.train_dataloader),
        results={k: shown for one in evaluators.values() for k, shown in one.curves.items()},
    )
    summary = {**summary_of(runner, job), "backbone": {"file": file.name, **backbone}}
    write_summary(folder / SUMMARY, summary)
    print()
    print_report(summary, evaluators, _places(folder))
    return summary


def _places(folder: Path) -> Mapping[str, str]:
    try:
        shown = folder.relative_to(Path.cwd())
    except ValueError:
        shown = folder
    return {
        "backbone": str(shown / BACKBONE),
        "curves": str(shown / "curves.png"),
        "views": str(shown / VIEWS),
        "summary": str(shown / SUMMARY),
        "page": str(shown / PAGE),
        "log": str(shown / LOG),
        "TensorBoard": f"tensorboard --logdir {shown}",
    }
