"""What training will see of some images: what ``tools/browse_views.py`` shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from mvssl.apis.data_facts import data_facts, with_facts
from mvssl.apis.options import TrainOptions
from mvssl.apis.prepare import build_dataset
from mvssl.apis.resume import choose_seed
from mvssl.apis.trial import called
from mvssl.arguments import check_count
from mvssl.config.chain import check_file
from mvssl.config.checks import check_config, complain
from mvssl.config.faults import attempt
from mvssl.datasets import ImageDataset
from mvssl.datasets.faults import check_some
from mvssl.errors import UserError
from mvssl.process.places import given_path
from mvssl.registry import MODELS
from mvssl.report.view_sheet import ShownSample, ShownView, plot_view_sheet
from mvssl.views import MultiViewPreprocessor, Preprocessor
from mvssl.views.ops.foreign import seeded_generators
from mvssl.views.preprocessor import ViewTransform
from mvssl.views.told import Box, Told, tell_views
from mvssl.words import printable

__all__ = ["BrowsedViews", "browse_views", "draw"]

MOST_SHOWN = 64
MOST_EPOCHS = 2**31 - 1


@dataclass(frozen=True)
class BrowsedViews:
    """Views of some images of a run.

    Attributes:
        config: path of the config.
        dataset: what is trained on.
        preprocessor: makes the views.
        seed: of the run.
        epoch: from 1.
        batch: as the run's loader makes it: ``index`` and ``epoch`` (B,), ``views`` or ``image``.
        views: V x (B, C, s, s), in [0, 1], neither normalised nor turned into another colour space.
        decoded: images of the batch (H, W, C) as views are drawn from them, which may be smaller
            than in their files.
        sides: height and width of the whole images.
    """

    config: str
    dataset: ImageDataset
    preprocessor: Preprocessor
    seed: int
    epoch: int
    batch: dict[str, Any]
    views: list[Tensor]
    decoded: list[NDArray[Any]]
    sides: list[tuple[int, int]]

    def lines(self) -> list[str]:
        """What is shown, a line each."""
        told = self.preprocessor.describe()
        lines = [printable(self.dataset.describe()), f"views {told['views']}"]
        if "  left out" in told:
            lines.append(f"left out {told['  left out']}")
        space = getattr(self.preprocessor, "color_space", "rgb")
        if space != "rgb":
            lines.append(f"shown in red, green and blue, before they are turned into {space}")
        shown = _channels_in_words(self.dataset)
        return [*lines, *([shown] if shown else []), f"epoch {self.epoch}, seed {self.seed}"]

    def told(self, row: int) -> list[Told] | None:
        """What was drawn for image ``row`` of the batch; None: the preprocessor does not say."""
        if not isinstance(self.preprocessor, MultiViewPreprocessor):
            return None
        index, epoch = (int(self.batch[name][row]) for name in ("index", "epoch"))
        self._check_read(row)
        image = self.decoded[row]
        told = tell_views(self.preprocessor.views, self.seed, image, index, epoch)
        return [_enlarged(one, image.shape, self.sides[row]) for one in told]

    def original(self, row: int) -> NDArray[Any]:
        """Image ``row`` of the batch, whole and upright, (H, W, C)."""
        self._check_read(row)
        image: NDArray[Any] | None = self.decoded[row]
        if self.decoded[row].shape[:2] != self.sides[row]:
            image = self.dataset.pixels(int(self.batch["index"][row]))
        if image is None:
            raise UserError(f"{self._name(row)} cannot be read any more.")
        return image

    def name(self, row: int) -> list[str]:
        """Lines that say which image it is."""
        self._check_read(row)
        height, width = self.sides[row]
        lines = [self._name(row), f"{width} × {height}"]
        replaced = int(self.batch["replaced"][row])
        if replaced >= 0:
            lines.append(f"in place of {self._name_of(replaced)}, which cannot be read")
        return lines

    def _check_read(self, row: int) -> None:
        if self.batch["replaced"][row] == self.batch["index"][row]:
            raise UserError(f"{self._name(row)} cannot be read, nor any that could replace it.")

    def _name(self, row: int) -> str:
        return self._name_of(int(self.batch["index"][row]))

    def _name_of(self, index: int) -> str:
        name = printable(Path(self.dataset.path(index)).name)
        return name if len(name) < 40 else f"{name[:18]}…{name[-18:]}"


def browse_views(options: TrainOptions, num: int = 8, epoch: int = 1) -> BrowsedViews:
    """Make the views that a run makes of some images, evenly spread over its data set.

    Args:
        options: as for ``train``; those that concern neither data nor views change nothing here.
        num: images.
        epoch: of the run, from 1.

    Raises:
        UserError: config, data or views are not right, or no image can be read.
    """
    check_count("browse_views", at_most=MOST_SHOWN, num=num)
    check_count("browse_views", at_most=MOST_EPOCHS, epoch=epoch)
    check_file(options.config)
    seed = choose_seed(options.seed, None)
    dataset, preprocessor, workers = _build(options.config, options.read())
    preprocessor.seed = seed
    transform = preprocessor.host_transform()
    watched = None if transform is None else _Watched(transform)
    dataset.view_transform = watched
    dataset.sample_seed = seed if workers else None  # as in a loader's workers
    numbers = np.unique(np.linspace(0, len(dataset) - 1, num).round().astype(int)).tolist()
    kind = f"train_dataloader.dataset: {type(dataset).__name__}"
    with seeded_generators(0):  # a notebook's own stay as they are
        samples = [called(kind, dataset.__getitem__, (n, epoch - 1)) for n in numbers]
    if any(sample["replaced"] == sample["index"] for sample in samples):
        check_some(dataset)  # one that nothing could replace: why is known of the data set
    batch = default_collate(samples)
    kind = f"model.data_preprocessor: {type(preprocessor).__name__}"
    views = called(kind, preprocessor.make_views, batch)
    dataset.view_transform = transform
    if watched is None:
        decoded = [image.permute(1, 2, 0).numpy() for image in batch["image"]]
        sides = [(image.shape[0], image.shape[1]) for image in decoded]
    else:
        decoded, sides = watched.decoded, watched.sides
    return BrowsedViews(
        options.config, dataset, preprocessor, seed, epoch, batch, views, decoded, sides
    )


class _Watched:
    """A transform of views that keeps the images which it is given, in their order, and the sizes
    that they have in their files.
    """

    def __init__(self, transform: ViewTransform) -> None:
        self.transform = transform
        self.decoded = list[NDArray[Any]]()
        self.sides = list[tuple[int, int]]()
        self._whole: dict[int, tuple[int, int]] = {}  # of those that may be decoded smaller
        self._own_spare = getattr(transform, "spare", None)
        if self._own_spare is not None:
            self.spare = self._spare

    def __call__(self, image: NDArray[Any], index: int, epoch: int) -> Any:
        self.decoded.append(image)
        self.sides.append(self._whole.get(index, (image.shape[0], image.shape[1])))
        return self.transform(image, index, epoch)

    def _spare(self, height: int, width: int, index: int, epoch: int) -> float:
        self._whole[index] = height, width
        assert self._own_spare is not None
        spare: float = self._own_spare(height, width, index=index, epoch=epoch)
        return spare


def draw(browsed: BrowsedViews, path: str | Path) -> None:
    """Draw images and views as a PNG.

    Raises:
        UserError: the picture would be too large, or cannot be written.
    """
    channels = list(browsed.dataset.shown_channels)
    samples = []
    for row in range(len(browsed.batch["index"])):
        told = browsed.told(row)
        views = [
            ShownView(
                view[row, channels].permute(1, 2, 0).cpu().numpy(),
                None if told is None else told[number].words,
                None if told is None else told[number].box,
            )
            for number, view in enumerate(browsed.views)
        ]
        original = browsed.original(row)[..., channels]
        samples.append(ShownSample(browsed.name(row), original, views))
    title = printable(browsed.config)
    plot_view_sheet(given_path(path), title, browsed.lines(), _headings(browsed), samples)


def _build(config: str, cfg: Config) -> tuple[ImageDataset, Preprocessor, int]:
    """Data set and preprocessor as ``prepare`` makes them, and the number of workers."""
    plain = cfg.to_dict()
    problems = check_config(plain)
    complain(config, problems)
    loader = plain["train_dataloader"]
    dataset = attempt("train_dataloader", lambda: build_dataset(loader), problems)
    if dataset is not None:
        facts = attempt("model", lambda: data_facts(plain, dataset), problems)
        cfg = with_facts(cfg, facts or {})
    described = cfg.to_dict()["model"].get("data_preprocessor")
    if described is None:
        raise UserError(f"{config}: model.data_preprocessor is missing, which makes the views.")
    made: Preprocessor | None = attempt("model", lambda: MODELS.build(described), problems)
    complain(config, problems)
    assert dataset is not None
    assert made is not None
    return dataset, made, int(loader.get("num_workers") or 0)


def _enlarged(told: Told, found: tuple[int, ...], whole: tuple[int, ...]) -> Told:
    """With its box in pixels of the whole image."""
    if told.box is None or found[:2] == whole[:2]:
        return told
    down, across = whole[0] / found[0], whole[1] / found[1]
    top, left, height, width = told.box
    scaled = top * down, left * across, height * down, width * across
    return told._replace(box=Box(*map(round, scaled)))


def _headings(browsed: BrowsedViews) -> list[list[str]]:
    """Lines above each view: its number, its size, and what is given to the network of it."""
    headings = []
    described = getattr(browsed.preprocessor, "views", [None] * len(browsed.views))
    for number, (made, view) in enumerate(zip(browsed.views, described, strict=True), start=1):
        lines = [f"view {number}", f"{made.shape[-2]} × {made.shape[-1]}"]
        if view is not None and view.channels is not None:
            plural = "s" if len(view.channels) > 1 else ""
            lines.append(f"channel{plural} {' and '.join(map(str, view.channels))} alone")
        if view is not None and view.draw_as is not None:
            lines.append(f"drawn as view {view.draw_as + 1}")
        headings.append(lines)
    return headings


def _channels_in_words(dataset: ImageDataset) -> str:
    """Which channels are shown where that is not all of them."""
    shown, number = dataset.shown_channels, dataset.channels
    if number == 1:
        return "one channel, shown in grey"
    if len(set(shown)) == 1:
        return f"channel {shown[0]} of {number} is shown, in grey"
    if number == 3 and shown == (0, 1, 2):
        return ""
    listed = ", ".join(map(str, shown))
    return f"channels {listed} of {number} are shown as red, green and blue"
