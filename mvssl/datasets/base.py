"""What every data set of mvssl has in common: keys, samples, labels, replacement of bad files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mvssl.arguments import check_count, is_integer, is_number
from mvssl.datasets.images import Spare
from mvssl.datasets.values import MOST_CHANNELS, check_value_range, to_unit
from mvssl.errors import UserError
from mvssl.registry import DATASETS
from mvssl.views.draws import sample_keys, uniforms
from mvssl.views.ops.foreign import seed_generators
from mvssl.views.preprocessor import ViewTransform
from mvssl.views.some_channels import check_rgb
from mvssl.views.view import MOST_SIDE
from mvssl.words import in_words

SPLITS: Final = ("train", "test", "all")

_REPLACEMENT_TRIES = 20
_REPLACEMENT_SEED = 0x5EED
_GRAY = 127
_GRAY_SIDE = 224  # of the stand-in image, where nothing else says how large images are


@DATASETS.base_class
class ImageDataset(Dataset[dict[str, Any]], ABC):
    """A list of images; a subclass says how one is read.

    Images are RGB of 8 bits, unless the constructor says otherwise. Values of another kind are
    brought to float32 in [0, 1] by ``value_range``.

    A sample's key is its index, or a pair (index, epoch), from which random views follow. A sample
    is a dict for torch's ``default_collate``:

    - ``image``: uint8, or float32 in [0, 1], (C, H, W); where ``view_transform`` is set, instead
      ``views``: a list of (C, s, s) of the same kind, one per view;
    - ``index``, ``epoch``, ``label`` (-1 where there is none);
    - ``replaced``: -1, or the index that was asked for where its image could not be read. Another
      sample, always the same one, then stands in: image, index and label are that sample's.

    Args:
        labels: Class of every sample, (N,), or None.
        classes: Names of the classes, or None.
        size: Side of the images, which are square, or None where they have sizes of their own.
        channels: C, of every image.
        value_range: Values that become 0 and 1; what lies outside is cut off. None: images are
            uint8, of which 255 is 1.
        rgb: Which channels are red, green and blue; None where there are none such. By default the
            first three of three or four.

    Attributes:
        view_transform: Makes the views in the loader's workers; None where the device does.
        sample_seed: Set in a loader's workers, where from it, index and epoch the global
            generators are seeded before a sample is made; None: they are left alone.
        notes: What a user is told beside, when training begins.
    """

    sample_seed: int | None = None

    def __init__(
        self,
        labels: NDArray[np.int64] | None,
        classes: list[str] | None,
        size: int | None,
        channels: int = 3,
        value_range: Sequence[float] | None = None,
        rgb: Sequence[int] | None = None,
    ) -> None:
        owner = type(self).__name__
        check_count(owner, at_most=MOST_CHANNELS, channels=channels)
        self._labels = labels
        self._classes = classes
        self.size = size
        self.channels = channels
        self.value_range = check_value_range(owner, value_range)
        self.rgb = check_rgb(owner, rgb, channels)
        self.view_transform: ViewTransform | None = None
        self.notes: list[str] = []

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class of every sample, int64 (N,), or None where there are no labels."""
        return self._labels

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes in the order of their numbers, or None."""
        return self._classes

    @property
    def metainfo(self) -> dict[str, Any]:
        """What mmengine's loops and visualisers ask of a data set."""
        return {"classes": self._classes}

    @property
    def shard_starts(self) -> NDArray[np.int64] | None:
        """Number of the first sample of each piece that is quickest read in order, ascending from
        0; None where samples lie each for itself.
        """
        return None

    @property
    def shown_channels(self) -> tuple[int, int, int]:
        """Which channels stand for red, green and blue in a picture of an image."""
        return self.rgb or ((0, 1, 2) if self.channels >= 3 else (0, 0, 0))

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, index: int) -> NDArray[Any] | None:
        """Image ``index``, (H, W, C), of any kind of number; None where it cannot be read."""

    def read_for(self, index: int, spare: Spare) -> NDArray[Any] | None:
        """As ``read``; sides may be divided by what ``spare`` says of a height and a width, where
        reading takes less time so. Unless a subclass does that, images are whole.
        """
        return self.read(index)

    def pixels(self, index: int, spare: Spare | None = None) -> NDArray[Any] | None:
        """Image ``index`` as it is trained on, but whole: uint8, or float32 in [0, 1], (H, W, C).

        Args:
            spare: as of ``read_for``; None: sides are those of the image.

        Raises:
            UserError: ``read`` gives something else than the data set says.
        """
        image = self._read(index, spare)
        return None if image is None else self._prepared(image)

    def fault(self, index: int) -> str:
        """Why image ``index`` cannot be read: the end of a sentence that begins with its path."""
        return "cannot be read as an image"

    def remedy(self, missing: bool) -> str:
        """What to do where images cannot be read, as a sentence.

        Args:
            missing: whether their files are not there.
        """
        if missing:
            return "Look where they have gone, or give other images."
        return "Mend them, or give other images."

    @abstractmethod
    def path(self, index: int) -> str:
        """Where sample ``index`` comes from, for messages."""

    def names(self) -> list[str]:
        """A name for every sample, by which a resumed run knows its images again."""
        return [self.path(index) for index in range(len(self))]

    @abstractmethod
    def describe(self) -> str:
        """One line for a user: name, split, size, classes."""

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """One sample.

        Raises:
            IndexError: There is no such sample.
            UserError: Images have sizes of their own and no ``view_transform`` makes them equal.
        """
        asked, epoch = key if isinstance(key, tuple) else (key, 0)
        asked, epoch = int(asked), int(epoch)
        if not 0 <= asked < len(self):
            raise IndexError(f"There is no sample {asked} among {len(self)}.")
        if self.size is None and self.view_transform is None:
            raise UserError(
                f"{self.describe()}: images of different sizes do not make a batch. Set the data "
                "set's size (such as size=224), or use the host engine for views."
            )
        if self.sample_seed is not None:
            keys = sample_keys(self.sample_seed, np.array([epoch]), np.array([asked]))
            seed_generators(int(keys[0]))
        image, index, replaced = self._read_or_replace(asked, epoch)
        self._check_side(image)
        sample: dict[str, Any] = {
            "index": index,
            "epoch": epoch,
            "label": -1 if self._labels is None else int(self._labels[index]),
            "replaced": replaced,
        }
        if self.view_transform is None:
            sample["image"] = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        else:
            sample["views"] = self.view_transform(image, index, epoch)
        return sample

    def _read_or_replace(self, asked: int, epoch: int) -> tuple[NDArray[Any], int, int]:
        """The image that is shown for sample ``asked``, its index, and the sample it replaces."""
        image = self.pixels(asked, self.spare(asked, epoch))
        if image is not None:
            return image, asked, -1
        zero = np.zeros(1, dtype=np.int64)
        draws = uniforms(_REPLACEMENT_SEED, zero, zero + asked, 0, _REPLACEMENT_TRIES)[0]
        for candidate in (draws * len(self)).astype(np.int64).tolist():
            image = self.pixels(candidate, self.spare(candidate, epoch))
            if image is not None:
                return image, candidate, asked
        return self._stand_in(), asked, asked

    def spare(self, index: int, epoch: int) -> Spare | None:
        """What the views of a sample leave unused of an image's resolution, for ``pixels``; None:
        nothing.
        """
        spare = getattr(self.view_transform, "spare", None)
        return None if spare is None else partial(spare, index=index, epoch=epoch)

    def _read(self, index: int, spare: Spare | None) -> NDArray[Any] | None:
        try:
            return self.read(index) if spare is None else self.read_for(index, spare)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{type(self).__name__}.read fails on {self.path(index)}: {in_words(error)}; where "
                f"an image cannot be read, it gives None."
            ) from error

    def _prepared(self, image: object) -> NDArray[Any]:
        """The image, checked, as uint8 or as float32 in [0, 1]."""
        owner = type(self).__name__
        wanted = f"(H, W, {self.channels}) of uint8{', RGB' * (self.channels == 3)}"
        found = type(image).__name__
        if isinstance(image, np.ndarray):
            found = f"an array {image.shape} of {image.dtype}"
            fits = image.ndim == 3 and image.shape[2] == self.channels and image.size > 0
            if fits and image.dtype.kind in "uif":
                if self.value_range is not None:
                    return to_unit(image, self.value_range)
                if image.dtype == np.uint8:
                    return image
                raise UserError(
                    f"{owner}.read gives {found}, not an array {wanted}, and the data set has no "
                    f"value_range: convert it there, or say which values are black and white, "
                    f"value_range=(0, 4095), say."
                )
        raise UserError(
            f"{owner}.read gives {found}, not an array {wanted}: convert it there (of a PIL image: "
            f"np.asarray(image.convert('RGB'))), or give the data set's channels."
        )

    def _check_side(self, image: NDArray[Any]) -> None:
        side = self.size if self.view_transform is None else None
        if side is not None and image.shape[:2] != (side, side):
            raise UserError(
                f"{type(self).__name__}.read gives an image of {image.shape[1]} x "
                f"{image.shape[0]} pixels, and the data set's size is {side}: resize it there."
            )

    def _stand_in(self) -> NDArray[Any]:
        """A grey image, for the case that no readable sample was found."""
        side = self.size or _GRAY_SIDE
        gray = np.full((side, side, self.channels), _GRAY, dtype=np.uint8)
        return gray if self.value_range is None else gray.astype(np.float32) / np.float32(255.0)

    def _summary(self, name: str, split: str) -> str:
        size = f" {self.size}x{self.size}" if self.size else ""
        classes = f", {len(self._classes)} classes" if self._classes else ""
        return f"{name} ({split}): {len(self):,} images{size}{classes}"


def check_split(split: str, test_fraction: float) -> None:
    """Raises a UserError unless ``split`` is known and ``test_fraction`` lies between 0 and 1."""
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(map(repr, SPLITS))}, not {split!r}.")
    if not (is_number(test_fraction) and 1e-6 <= test_fraction < 1):
        raise UserError(f"test_fraction must lie between 0 and 1, not {test_fraction!r}.")


def check_size(size: int | None) -> None:
    """Raises a UserError unless ``size`` is a number of pixels or None."""
    if size is not None and not (is_integer(size) and 1 <= size <= MOST_SIDE):
        raise UserError(f"size must be a number of pixels, not {size!r}.")
