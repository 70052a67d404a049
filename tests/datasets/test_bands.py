"""TIFF files of five and more bands, as satellites and microscopes have them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mvssl.datasets import ImageFolder
from mvssl.datasets.faults import check_some
from mvssl.datasets.images import decode_image, why_undecodable
from mvssl.errors import UserError

tifffile = pytest.importorskip("tifffile", reason="pip install tifffile")

KINDS = ("uint8", "uint16", "float32")
PLANES = ("contig", "separate")


def pixels(bands: int, kind: str, height: int = 9, width: int = 7) -> NDArray[Any]:
    rng = np.random.default_rng(bands)
    if kind == "float32":
        return rng.random((height, width, bands), dtype=np.float32)
    return rng.integers(0, np.iinfo(kind).max, (height, width, bands), kind, endpoint=True)


def tiff(image: NDArray[Any], planar: str = "contig", **how: Any) -> bytes:
    buffer = io.BytesIO()
    stored = image if planar == "contig" else np.moveaxis(image, -1, 0)
    tifffile.imwrite(buffer, stored, photometric="minisblack", planarconfig=planar, **how)
    return buffer.getvalue()


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bands", [5, 8, 13])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
    ids=str,
)
def test_all_bands_are_read_as_they_are(
    planar: str, kind: str, bands: int, how: dict[str, Any]
) -> None:
    if kind == "float32" and "predictor" in how:
        pytest.skip("the predictor of fractions takes imagecodecs")
    # As high, or as wide, as there are bands: what is which follows from no size.
    for height, width in ((9, 7), (bands, 7), (9, bands), (bands, bands)):
        image = pixels(bands, kind, height, width)
        read = decode_image(tiff(image, planar, **how), channels=bands)
        assert read is not None
        assert read.dtype == image.dtype
        np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("kind", [*KINDS, "int16"])
@pytest.mark.parametrize("bands", [1, 3, 4, 5])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_every_orientation_is_turned_upright(
    planar: str, kind: str, bands: int, photometric: str
) -> None:
    """By the definition of each in TIFF 6.0: which corner of the image row 0 and column 0 are."""
    if photometric == "rgb" and bands not in (3, 4):
        pytest.skip("three bands are colours, with a fourth beside")
    image = pixels(bands, "uint8").astype(kind) if kind == "int16" else pixels(bands, kind)
    how: dict[str, Any] = {"photometric": photometric}
    how |= {} if bands == 1 else {"planarconfig": planar}
    how |= {"extrasamples": [0]} if photometric == "rgb" and bands == 4 else {}
    stored = np.moveaxis(image, -1, 0) if planar == "separate" and bands > 1 else image
    upright = [
        image,
        image[:, ::-1],
        image[::-1, ::-1],
        image[::-1],
        image.swapaxes(0, 1),
        np.rot90(image, -1),
        np.rot90(image, 2).swapaxes(0, 1),
        np.rot90(image),
    ]
    for number, wanted in enumerate(upright, start=1):
        buffer = io.BytesIO()
        tag = (274, "H", 1, number, True)
        tifffile.imwrite(buffer, stored[..., 0] if bands == 1 else stored, extratags=[tag], **how)
        read = decode_image(buffer.getvalue(), channels=bands)
        np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [3, 4])
def test_bands_that_are_not_said_to_be_colours_become_three_or_grey(
    planar: str, kind: str, bands: int
) -> None:
    image = pixels(bands, kind)
    data = tiff(image, planar)
    np.testing.assert_array_equal(decode_image(data, channels=3), image[..., :3])
    grey = decode_image(data, channels=1)
    assert grey is not None
    wanted = image[..., :3] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - wanted).max() < (1.5 if kind == "uint8" else 8)


def stack(image: NDArray[Any], **how: Any) -> bytes:
    """A page a band, each written by itself."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in np.moveaxis(image, -1, 0):
            writer.write(page, photometric="minisblack", metadata=None, **how)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pages", [2, 3, 4, 9])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=str)
def test_pages_of_one_band_are_channels(pages: int, kind: str, how: dict[str, Any]) -> None:
    image = pixels(pages, kind)
    np.testing.assert_array_equal(decode_image(stack(image, **how), channels=pages), image)
    turned = stack(image, extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(decode_image(turned, channels=pages), np.rot90(image, -1))


@pytest.mark.parametrize("how", [{}, {"imagej": True}, {"ome": True}, {"bigtiff": True}], ids=str)
def test_arrays_of_planes_as_tifffile_writes_them_are_channels(how: dict[str, Any]) -> None:
    image = pixels(5, "uint16")
    buffer = io.BytesIO()
    photometric = {} if "imagej" in how else {"photometric": "minisblack"}
    tifffile.imwrite(buffer, np.moveaxis(image, -1, 0), **how, **photometric)
    np.testing.assert_array_equal(decode_image(buffer.getvalue(), channels=5), image)


def test_a_folder_of_stacks_has_a_channel_a_page_and_says_so(tmp_path: Path) -> None:
    images = [pixels(5, "uint8", 20 + n) for n in range(3)]
    for number, image in enumerate(images):
        (tmp_path / f"{number}.tif").write_bytes(stack(image))
    data = ImageFolder(tmp_path, split="all")
    assert data.channels == 5
    for number, image in enumerate(images):
        np.testing.assert_array_equal(data.pixels(number), image)
    told = "of 3 images that were looked at 3 have 5 pages of one band each, which are read as"
    assert any(note.startswith(told) for note in data.notes)
    (tmp_path / "3.tif").write_bytes(stack(pixels(4, "uint8")))
    assert ImageFolder(tmp_path, split="all").fault(3) == (
        "has 4 channels, where the data set has 5"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_stack_that_has_other_pages_the_first_is_read_and_a_note_says_so(
    channels: int, tmp_path: Path
) -> None:
    image = pixels(5, "uint8")
    (tmp_path / "a.tif").write_bytes(stack(image))
    data = ImageFolder(tmp_path, split="all", channels=channels)
    np.testing.assert_array_equal(data.pixels(0), np.repeat(image[..., :1], channels, axis=2))
    assert any("the first is read; channels=5 in the data set" in note for note in data.notes)


def test_few_stacks_among_photographs_stay_what_they_were(tmp_path: Path) -> None:
    """Documents of several pages, say: their first, as before, and a note."""
    photo = pixels(3, "uint8")
    for number in range(3):
        (tmp_path / f"{number}.tif").write_bytes(stack(photo[..., :1]))
    (tmp_path / "3.tif").write_bytes(stack(pixels(2, "uint8")))
    data = ImageFolder(tmp_path, split="all")
    assert data.channels == 3
    first = pixels(2, "uint8")[..., :1]
    np.testing.assert_array_equal(data.pixels(3), np.repeat(first, 3, axis=2))
    assert any(
        note.startswith("of 4 images that were looked at 1 has several pages")
        for note in data.notes
    )


def test_reduced_copies_masks_and_other_pages_are_no_channels() -> None:
    image = pixels(2, "uint8", 32, 32)
    for second, kind in ((image[::2, ::2, 1], 1), (image[..., 1], 1), (image[..., 1] > 9, 4)):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(image[..., 0], photometric="minisblack", metadata=None)
            writer.write(second, photometric="minisblack", metadata=None, subfiletype=kind)
        assert decode_image(buffer.getvalue(), channels=2) is None
        np.testing.assert_array_equal(decode_image(buffer.getvalue(), channels=1), image[..., :1])
    others = (image[:16, :, 1], image[..., 1].astype(np.uint16), pixels(3, "uint8", 32, 32))
    for other in others:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(image[..., 0], photometric="minisblack", metadata=None)
            writer.write(other, metadata=None)
        assert decode_image(buffer.getvalue(), channels=2) is None


def test_pages_that_lead_in_a_circle_come_to_an_end() -> None:
    data = bytearray(stack(pixels(2, "uint8")))
    (first,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, first)
    link = first + 2 + 12 * number
    (second,) = struct.unpack_from("<I", data, link)
    (number,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + 12 * number, first)
    assert decode_image(bytes(data), channels=5) is None
    struct.pack_into("<I", data, link, len(data) + 1000)  # or to nowhere: the first is left
    image = pixels(2, "uint8")
    np.testing.assert_array_equal(decode_image(bytes(data), channels=1), image[..., :1])


def test_a_stack_that_is_cut_off_is_not_read_in_part(capfd: pytest.CaptureFixture[str]) -> None:
    data = stack(pixels(5, "uint16", 40, 50))
    for length in range(0, len(data), len(data) // 60):
        assert decode_image(data[:length], channels=5) is None
    assert capfd.readouterr().err == ""


def lzw_strip(data: bytes) -> bytes:
    """LZW of TIFF 6.0, section 13, that never refers back: codes of 9 bits, and a clear in time."""
    codes = [256]
    for number, byte in enumerate(data, start=1):
        codes += [byte, 256] if number % 200 == 0 else [byte]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def by_hand(image: NDArray[np.uint8], planar: str, compression: int) -> bytes:
    """A TIFF by its specification: a strip for all bands, or for each."""
    height, width, bands = image.shape
    planes = [image] if planar == "contig" else list(np.moveaxis(image, -1, 0))
    strips = [lzw_strip(x.tobytes()) if compression == 5 else x.tobytes() for x in planes]
    starts = [8 + sum(map(len, strips[:n])) for n in range(len(strips))]
    more, at = b"", 8 + sum(map(len, strips))
    entries = b""

    def entry(tag: int, values: list[int], code: str) -> None:
        nonlocal more, entries
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            where = struct.pack("<I", at + len(more))
            more += packed + b"\0" * (len(packed) % 2)
            packed = where
        kind = {"H": 3, "I": 4}[code]
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")

    at += at % 2
    entry(256, [width], "I")
    entry(257, [height], "I")
    entry(258, [8] * bands, "H")
    entry(259, [compression], "H")
    entry(262, [1], "H")
    entry(273, starts, "I")
    entry(277, [bands], "H")
    entry(278, [height], "I")
    entry(279, list(map(len, strips)), "I")
    entry(284, [1 if planar == "contig" else 2], "H")
    entry(338, [0] * (bands - 1), "H")
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    directory = struct.pack("<H", 11) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, at + len(more)) + body + more + directory


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("bands", [5, 8, 13])
def test_a_file_by_the_specification_is_read(planar: str, bands: int) -> None:
    image = pixels(bands, "uint8", bands)
    np.testing.assert_array_equal(
        decode_image(by_hand(image, planar, compression=1), channels=bands), image
    )


@pytest.mark.parametrize("planar", PLANES)
def test_lzw_is_read_or_says_what_it_takes(planar: str, tmp_path: Path) -> None:
    image = pixels(5, "uint8", 40)
    data = by_hand(image, planar, compression=5)
    read = decode_image(data, channels=5)
    try:
        import imagecodecs  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        assert read is None
        told = why_undecodable(lambda: data, channels=5)
        assert told == "is compressed so that it takes pip install imagecodecs"
        (tmp_path / "a.tif").write_bytes(data)
        assert "takes pip install imagecodecs" in ImageFolder(tmp_path, split="all").fault(0)
    else:
        np.testing.assert_array_equal(read, image)


def test_without_tifffile_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(pixels(5, "uint8")))
    monkeypatch.setattr("mvssl.datasets.tiff.find_spec", lambda name: None)
    data = ImageFolder(tmp_path, split="all", channels=5)
    assert data.read(0) is None
    assert data.fault(0) == "has 5 channels: pip install tifffile reads it"
    with pytest.raises(UserError, match=r"a\.tif has 5 channels: pip install tifffile reads it"):
        check_some(data)


def test_files_without_a_range_of_values_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.tif").write_bytes(tiff(pixels(5, "uint16", 20 + number)))
    with monkeypatch.context() as without:
        without.setattr("mvssl.datasets.tiff.find_spec", lambda name: None)
        with pytest.raises(
            UserError, match="of 3 such files none can be read: the first has 5 cha"
        ):
            ImageFolder(tmp_path, split="all")
    flat = np.zeros((8, 8, 5), np.uint16)
    for number in range(3):
        (tmp_path / f"{number}.tif").write_bytes(tiff(flat))
    with pytest.raises(UserError, match="3 such files hold no two values: give value_range"):
        ImageFolder(tmp_path, split="all")


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_such_files_is_a_data_set(planar: str, kind: str, tmp_path: Path) -> None:
    images = [pixels(13, kind, 20 + n, 30) for n in range(3)]
    for number, image in enumerate(images):
        (tmp_path / f"{number}.tif").write_bytes(tiff(image, planar, compression="zlib"))
    data = ImageFolder(tmp_path, split="all")
    assert data.channels == 13
    assert data.rgb is None
    for number, image in enumerate(images):
        seen = data.pixels(number)
        assert seen is not None
        if kind == "uint8":
            np.testing.assert_array_equal(seen, image)
        else:
            assert seen.dtype == np.float32
            black, white = data.value_range or (0, 0)
            np.testing.assert_allclose(seen, (image - black) / (white - black), atol=1e-6)


@pytest.mark.parametrize("planar", PLANES)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_is_cut_off_is_not_read_in_part(
    planar: str, compression: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tiff(pixels(5, "uint16", 40, 50), planar, compression=compression)
    for length in range(0, len(data), len(data) // 60):
        assert decode_image(data[:length], channels=5) is None
    assert capfd.readouterr().err == ""


def test_damage_is_not_remarked_upon(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    rng = np.random.default_rng(0)
    data = np.frombuffer(tiff(pixels(5, "uint8", 40, 50)), np.uint8)
    for _ in range(100):
        damaged = data.copy()
        damaged[rng.integers(4, 300, 3)] = rng.integers(0, 256, 3)
        decode_image(damaged.tobytes(), channels=5)
    assert capfd.readouterr().err == ""
    assert not len(recwarn)


@pytest.mark.parametrize("channels", [1, 3, 4, 8])
def test_another_number_of_bands_is_told_before_they_are_decoded(
    channels: int, tmp_path: Path
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(pixels(5, "uint8")))
    data = ImageFolder(tmp_path, split="all", channels=channels)
    assert data.read(0) is None
    assert data.fault(0) == f"has 5 channels, where the data set has {channels}"
    assert not any("left out" in note for note in data.notes)


def test_of_different_bands_most_files_decide(tmp_path: Path) -> None:
    for number, bands in enumerate((8, 5, 8)):
        (tmp_path / f"{number}.tif").write_bytes(tiff(pixels(bands, "uint8")))
    data = ImageFolder(tmp_path, split="all")
    assert [data.read(n) is not None for n in range(3)] == [True, False, True]
    assert data.fault(1) == "has 5 channels, where the data set has 8"
