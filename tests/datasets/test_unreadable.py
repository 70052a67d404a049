"""Data sets of which hardly an image can be read: what is said of them, and what to do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mvssl.datasets import ImageDataset, ImageFolder, ImageList, TarShards
from mvssl.datasets.faults import check_some
from mvssl.errors import UserError

NUMBER = 12


def _jpeg(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _folder(root: Path, content: Callable[[int], bytes]) -> ImageDataset:
    (root / "pics").mkdir()
    for number in range(NUMBER):
        (root / f"pics/{number:02}.jpg").write_bytes(content(number))
    return ImageFolder(root / "pics")


def _list(root: Path, content: Callable[[int], bytes]) -> ImageDataset:
    _folder(root, content)
    (root / "list.txt").write_text("\n".join(f"pics/{number:02}.jpg" for number in range(NUMBER)))
    return ImageList(root / "list.txt")


def _shards(root: Path, content: Callable[[int], bytes]) -> ImageDataset:
    with tarfile.open(root / "a.tar", "w") as archive:
        for number in range(NUMBER):
            data = content(number)
            member = tarfile.TarInfo(f"{number:02}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return TarShards(str(root / "a.tar"))


class _Own(ImageDataset):
    def __init__(self, content: Callable[[int], bytes]) -> None:
        super().__init__(None, None, None)
        self.bytes = content

    def __len__(self) -> int:
        return NUMBER

    def path(self, index: int) -> str:
        return f"own {index}"

    def describe(self) -> str:
        return "own"

    def read(self, index: int) -> Any:
        try:
            return np.asarray(Image.open(io.BytesIO(self.bytes(index))))
        except OSError:
            return None


def _own(_: Path, content: Callable[[int], bytes]) -> ImageDataset:
    return _Own(content)


MAKERS = [_folder, _list, _shards, _own]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda n: _jpeg(n)[:900], "is cut off or damaged"),
        (lambda _: b"", "is empty"),
        (lambda _: b"no image", "cannot be read as an image of any kind"),
    ],
)
def test_none_of_some_images_can_be_read(
    make: Any, content: Callable[[int], bytes], why: str, tmp_path: Path
) -> None:
    data = make(tmp_path, content)
    with pytest.raises(UserError) as caught:
        check_some(data)
    told = str(caught.value)
    assert "none of 8 that were tried can be read" in told
    assert (why if make is not _own else "cannot be read as an image") in told
    assert "(7 more likewise)" in told
    assert ("tools/check_data.py" in told) == (make is _folder)
    assert "root" not in told.replace(str(tmp_path), "")


@pytest.mark.parametrize("make", MAKERS)
def test_few_unreadable_images_are_no_reason(make: Any, tmp_path: Path) -> None:
    data = make(tmp_path, lambda n: b"" if n % 4 == 0 else _jpeg(n))
    check_some(data)
    check_some(data, minimum=3)
    with pytest.raises(UserError, match="only 6 of 8"):
        check_some(data, minimum=1)


def test_more_unreadable_images_than_a_run_may_have_are_told_before_it(tmp_path: Path) -> None:
    data = _folder(tmp_path, lambda n: _jpeg(n)[: 900 if n % 2 else None])  # four of eight
    check_some(data)  # without a limit
    check_some(data, minimum=4)
    check_some(data, minimum=3, fraction=0.5)
    with pytest.raises(UserError, match=r"only 4 of 8 that were tried can be read: .*cut off"):
        check_some(data, minimum=3)


def test_fewer_images_than_are_tried(tmp_path: Path) -> None:
    data = _folder(tmp_path, lambda n: _jpeg(n)[:900])
    for file in sorted((tmp_path / "pics").iterdir())[1:]:
        file.unlink()
    with pytest.raises(UserError, match="none of 1 that were tried"):
        check_some(ImageFolder(tmp_path / "pics"), minimum=3)
    with pytest.raises(UserError, match="8 that were tried"):
        check_some(data)


def test_a_list_of_files_that_do_not_exist_says_where_they_were_looked_for(tmp_path: Path) -> None:
    def told(text: str, **more: Any) -> str:
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(UserError) as caught:
            check_some(ImageList(tmp_path / "list.txt", **more))
        return str(caught.value)

    beside = told("a.jpg\nb.jpg")
    assert f"{tmp_path}/a.jpg does not exist (1 more likewise)" in beside
    assert f"relative to {tmp_path}, the folder of the list: set root" in beside
    elsewhere = told("a.jpg", root=tmp_path / "pics")
    assert f"relative to {tmp_path}/pics: set root" in elsewhere
    absolute = told("/nowhere/a.jpg")
    assert "/nowhere/a.jpg does not exist" in absolute
    assert "Write paths into" in absolute
    # A folder that the list takes for a file has a reason of its own.
    (tmp_path / "b.jpg").mkdir()
    assert "b.jpg is a folder" in told("b.jpg")
