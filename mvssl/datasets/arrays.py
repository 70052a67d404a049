"""Images in arrays: files of NumPy, arrays in memory, and torchvision's small data sets."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torchvision.datasets
from numpy.typing import NDArray

from mvssl.arguments import check_choice
from mvssl.datasets.base import ImageDataset, check_size
from mvssl.datasets.headers import MOST_COLORS
from mvssl.datasets.image_list import numbered
from mvssl.datasets.survey import centre, spread
from mvssl.datasets.values import check_value_range, range_of
from mvssl.errors import UserError
from mvssl.process.places import given_path
from mvssl.registry import DATASETS
from mvssl.words import each, in_words

__all__ = ["ArrayImages", "TorchvisionImages"]

_TORCHVISION: Final = ("CIFAR10", "CIFAR100", "STL10", "FashionMNIST")
_STL_SPLITS: Final = ("train", "test", "unlabeled")


@DATASETS.register_module()
class ArrayImages(ImageDataset):
    """Images in an array: of a file, which is mapped into memory, or given as it is.

    Args:
        images: (N, H, W) or (N, H, W, C), of any kind of number: an array, a ``.npy`` file, which
            is mapped, or an ``.npz`` file, which is read.
        labels: (N,), numbers or names: an array, a file, or with an ``.npz`` the name of an array
            in it. None: no labels.
        key: Name of the images in an ``.npz``; by default its only array.
        channels_first: Whether ``images`` is (N, C, H, W).
        size: Side to which images are brought, as ``ImageFolder`` does; by default their own where
            they are square.
        value_range: The value of black and that of white; by default that of 8 bits, or what a
            sample of other kinds of numbers holds.
        rgb: Which channels are red, green and blue, where there are more than 3; () for none.

    Raises:
        UserError: A file cannot be read, or arrays do not fit.
    """

    def __init__(
        self,
        images: str | Path | NDArray[Any],
        labels: str | Path | NDArray[Any] | None = None,
        key: str | None = None,
        channels_first: bool = False,
        size: int | None = None,
        value_range: Sequence[float] | None = None,
        rgb: Sequence[int] | None = None,
    ) -> None:
        check_size(size)
        _check_given(images, labels, key)
        self._name = "array" if isinstance(images, np.ndarray) else str(images)
        array = images if isinstance(images, np.ndarray) else _load(Path(images), key)
        self._images = _as_images(self._name, array, channels_first)
        numbers, classes = None, None
        if labels is not None:
            numbers, classes = numbered(self._name, _one_each(_labels(labels, images)).tolist())
            if len(numbers) != len(array):
                raise UserError(
                    f"{self._name} holds {len(array)} images, and there are {len(numbers)} labels."
                )
        given = check_value_range("ArrayImages", value_range)
        height, width, channels = self._images.shape[1:]
        values = given or self._range()
        super().__init__(
            numbers, classes, size or (height if height == width else None), channels, values, rgb
        )
        if values is not None and given is None:
            self.notes.append(
                f"values are {array.dtype}: {values[0]:g} is taken for black and {values[1]:g} for "
                f"white; value_range in the data set sets them"
            )

    def _range(self) -> tuple[float, float] | None:
        if self._images.dtype == np.uint8:
            return None
        found = range_of(self._images[number] for number in spread(len(self._images)))
        if found is None:
            raise UserError(f"{self._name}: all values are alike: give value_range=(black, white).")
        return found

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> NDArray[Any]:
        image = np.array(self._images[index])
        if self.size is None or image.shape[:2] == (self.size, self.size):
            return image
        # OpenCV resizes bytes and fractions.
        image = image if image.dtype == np.uint8 else image.astype(np.float32)
        return centre(image, self.size, 1.0)

    def path(self, index: int) -> str:
        return f"{self._name}[{index}]"

    def names(self) -> list[str]:
        return [f"[{index}]" for index in range(len(self))]

    def describe(self) -> str:
        return self._summary(self._name, "array")


def _check_given(images: Any, labels: Any, key: str | None) -> None:
    for name, given in (("images", images), ("labels", labels)):
        if not isinstance(given, np.ndarray | str | Path) and not (given is labels is None):
            raise UserError(
                f"ArrayImages: {name} is an array of NumPy or a file, got {type(given).__name__}: "
                f"give np.asarray(...) of it."
            )
    if key is not None and (isinstance(images, np.ndarray) or not _is_packed(images)):
        what = "an array" if isinstance(images, np.ndarray) else images
        raise UserError(f"ArrayImages: key={key!r} names an array of an .npz, and not of {what}.")


def _is_packed(file: Any) -> bool:
    return isinstance(file, str | Path) and Path(file).suffix.lower() == ".npz"


def _load(file: Path, key: str | None) -> NDArray[Any]:
    file = given_path(file)
    if not file.is_file():
        raise UserError(f"There is no file {file}: give the path of an .npy or .npz file.")
    try:
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            name = names[0] if key is None and len(names) == 1 else key
            if name in names:
                array: NDArray[Any] = loaded[name]
                return array
    except Exception as error:  # a damaged file raises nearly anything
        raise UserError(f"{file} cannot be read as arrays of NumPy: {in_words(error)}") from error
    raise UserError(f"{file} holds {each(names)}: say which are the images, key='...'.")


def _labels(labels: Any, images: Any) -> NDArray[Any]:
    if isinstance(labels, np.ndarray):
        return labels
    if _is_packed(images) and not Path(labels).suffix:
        return _load(Path(images), str(labels))
    return _load(Path(labels), None)


def _one_each(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim != 1:
        raise UserError(
            f"labels are an array {labels.shape}, and there is one number or name for each image: "
            f"(N,). Of (N, classes), ones and zeros, labels.argmax(axis=1) is that."
        )
    return labels


def _as_images(name: str, array: NDArray[Any], channels_first: bool) -> NDArray[Any]:
    """(N, H, W, C); a view, so that what is mapped stays so."""
    _check_axes(name, array.shape, channels_first)
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and channels_first:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.size == 0 or array.dtype.kind not in "uif":
        raise UserError(
            f"{name} is an array {array.shape} of {array.dtype}, not numbers (N, H, W, C)."
        )
    return array


def _check_axes(name: str, shape: tuple[int, ...], channels_first: bool) -> None:
    """Raises a UserError where the axes are hardly those that are said."""
    if len(shape) == 3 and channels_first:
        raise UserError(
            f"{name} is an array {shape}, images (N, H, W) without channels: leave out "
            f"channels_first."
        )
    if len(shape) != 4:
        return
    first, last = shape[1], shape[3]
    told, others = (last, first) if channels_first else (first, last)
    if told <= MOST_COLORS < min(others, shape[2]):
        meant = f"(N, {'H, W, C' if channels_first else 'C, H, W'})"
        raise UserError(
            f"{name} is an array {shape}, as it seems {meant}: give channels_first="
            f"{not channels_first}, or bring it to another order by np.moveaxis."
        )


@DATASETS.register_module()
class TorchvisionImages(ArrayImages):
    """CIFAR-10 and -100, STL-10 and Fashion-MNIST, as torchvision stores them.

    Args:
        name: ``CIFAR10``, ``CIFAR100``, ``STL10`` or ``FashionMNIST``.
        root: Folder that torchvision put it in; of Fashion-MNIST also one that holds its four
            files, as Debian's package ``dataset-fashion-mnist`` does in
            ``/usr/share/datasets/fashion-mnist``.
        split: ``train`` or ``test``; of STL-10 also ``unlabeled``.
        size: Side to which images are brought; by default their own.
        download: Whether torchvision fetches what is missing.

    Raises:
        UserError: It is not there, or there is no such split.
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        split: str = "train",
        size: int | None = None,
        download: bool = False,
    ) -> None:
        check_choice("TorchvisionImages", "name", name, _TORCHVISION)
        splits = _STL_SPLITS if name == "STL10" else _STL_SPLITS[:2]
        check_choice("TorchvisionImages", "split", split, splits)
        folder = given_path(root)
        images, labels, classes = _stored(name, folder, split, download)
        super().__init__(images, size=size)
        self._labels, self._classes = labels, classes
        self._name, self.split = f"{name}/{split}", split

    def describe(self) -> str:
        return self._summary(self._name.partition("/")[0], self.split)


def _stored(
    name: str, root: Path, split: str, download: bool
) -> tuple[NDArray[Any], NDArray[np.int64] | None, list[str]]:
    """Images (N, H, W, 3), labels and classes."""
    kind: Any = getattr(torchvision.datasets, name)
    which: Any = {"split": split} if name == "STL10" else {"train": split == "train"}
    packed = root / f"{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz"
    if name == "FashionMNIST" and packed.is_file():
        images = _idx(packed, 16).reshape(-1, 28, 28)
        labels = _idx(Path(str(packed).replace("images-idx3", "labels-idx1")), 8)
        return _gray(images), labels.astype(np.int64), list(kind.classes)
    try:
        stored = kind(root=str(root), download=download, **which)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{name} is not in {root} ({in_words(error)}): give the folder that torchvision put it "
            f"in, or download=True where there is a network."
        ) from error
    if name == "FashionMNIST":
        return _gray(stored.data.numpy()), stored.targets.numpy(), list(kind.classes)
    if name == "STL10":
        known = None if split == "unlabeled" else np.asarray(stored.labels, np.int64)
        classes = getattr(stored, "classes", None)  # of a file whose sum torchvision does not check
        if classes is None:
            raise UserError(
                f"{name} in {root} lacks class_names.txt: put it beside its other files."
            )
        return stored.data.transpose(0, 2, 3, 1), known, list(classes)
    return stored.data, np.asarray(stored.targets, np.int64), list(stored.classes)


def _idx(file: Path, skipped: int) -> NDArray[np.uint8]:
    with gzip.open(file) as opened:
        return np.frombuffer(opened.read(), np.uint8, offset=skipped)


def _gray(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three equal channels of one, without a copy."""
    return np.broadcast_to(images[..., None], (*images.shape, 3))
