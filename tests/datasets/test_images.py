"""Finding and decoding image files, damaged ones included."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import socket
import subprocess
import threading
import zlib
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import pytest
from mmengine import fileio
from PIL import Image, ImageOps, features
from sklearn.datasets import load_sample_image

from mvssl.datasets import headers, images
from mvssl.datasets.images import decode_image
from mvssl.datasets.listing import find_images
from tests.datasets.reading import read_image, why_unreadable

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    **(
        {"avif": ("AVIF", {"quality": 100, "subsampling": "4:4:4"})}
        if features.check("avif")
        else {}
    ),
    "jpg": ("JPEG", {}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {"lossless": True}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "jpeg.tif": ("TIFF", {"compression": "jpeg"}),
}


def _photo() -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg")[100:200, 300:420])


def _encoded(name: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    kind, options = FORMATS[name]
    _photo().save(buffer, kind, **options, **more)
    return buffer.getvalue()


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_images_are_found_in_any_case_sorted_and_below(tmp_path: Path) -> None:
    wanted = ["B.JPG", "a.jpeg", "x/d.bmp", "x/deep/er/c.PnG", "x/e.webp", "y/f.tif", "y/g.TIFF"]
    _touch(*(tmp_path / name for name in wanted))
    _touch(
        *(tmp_path / name for name in ("notes.txt", "jpg", ".h.jpg", ".hidden/i.jpg", "x/.j.png"))
    )
    (tmp_path / "folder.jpg").mkdir()
    assert find_images(tmp_path).files == wanted


def test_links_are_followed_once(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    _touch(root / "a/1.jpg", outside / "2.jpg", outside / "deep/3.jpg")
    (root / "b").symlink_to(outside)
    (root / "a" / "loop").symlink_to(root)
    (outside / "deep" / "self").symlink_to(outside / "deep")
    (root / "gone").symlink_to(tmp_path / "missing")
    (root / "4.jpg").symlink_to(outside / "2.jpg")
    assert find_images(root).files == ["4.jpg", "a/1.jpg", "b/2.jpg", "b/deep/3.jpg"]


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_rgb(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"ü ñ.{name}"
    path.write_bytes(_encoded(name))
    image = read_image(path)
    assert image is not None
    assert image.dtype == np.uint8
    assert image.shape == (100, 120, 3)
    tolerance = 0 if "jpg" not in name else 3
    wanted = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(image - wanted).max() <= tolerance


@pytest.mark.parametrize(
    ("ending", "mode"),
    [("jpg", mode) for mode in ("L", "CMYK")]
    + [("png", mode) for mode in ("L", "LA", "RGBA", "P", "1")]
    + [("tif", mode) for mode in ("L", "LA", "RGBA", "P", "1", "CMYK")],
)
def test_other_modes_become_rgb(ending: str, mode: str, tmp_path: Path) -> None:
    picture = _photo().convert("L").convert(mode) if mode == "LA" else _photo().convert(mode)
    picture.save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    assert image is not None
    with Image.open(tmp_path / f"a.{ending}") as again:
        wanted = np.asarray(again.convert("RGB")).astype(int)
    assert np.abs(image - wanted).max() <= (1 if ending == "jpg" else 0)


def test_a_palette_with_transparency_is_quiet(tmp_path: Path) -> None:
    """Pillow warns of every one; the colours under transparent pixels are taken, as of RGBA."""
    picture = _photo().convert("P")
    picture.save(tmp_path / "a.png", transparency=bytes(range(256)))
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png"), np.asarray(picture.convert("RGB"))
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_values_of_many_bits_stay_as_they_are(bits: int, ending: str, tmp_path: Path) -> None:
    """A ramp over the range of a camera of so many bits, in a file of 16."""
    ramp = np.linspace(0, 1, 256)[None].repeat(8, 0)
    Image.fromarray(np.rint(ramp * (2**bits - 1)).astype(np.uint16)).save(tmp_path / f"a.{ending}")
    image = read_image(tmp_path / f"a.{ending}")
    assert image is not None
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, np.rint(ramp * (2**bits - 1))[..., None].repeat(3, 2))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_of_colour_stay_sixteen(ending: str, channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (9, 7, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{ending}"), pixels[..., [2, 1, 0, 3][:channels]])
    image = read_image(tmp_path / f"a.{ending}", channels=channels)
    np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(np.float32, [0.0, 0.5]), (np.int32, [0, 70_000]), (np.int32, [-1, 300])],
)
def test_fractions_and_large_numbers_stay_as_they_are(
    dtype: Any, values: list[float], tmp_path: Path
) -> None:
    Image.fromarray(np.array([values], dtype)).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif", channels=1)
    assert image is not None
    assert image.dtype == dtype
    assert image[0, :, 0].tolist() == values
    colours = read_image(tmp_path / "a.tif", channels=3)
    assert colours is not None
    assert colours.dtype == dtype
    assert colours.tolist() == [[[value] * 3 for value in values]]


@pytest.mark.parametrize("name", ["png", "webp", "tif"])
def test_the_first_picture_of_an_animation_is_read(name: str, tmp_path: Path) -> None:
    data = _encoded(name, save_all=True, append_images=[_photo().rotate(180)])
    (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / name), np.asarray(_photo()))


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(name: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / name).write_bytes(_encoded(name, exif=exif))
    with Image.open(tmp_path / name) as picture:
        wanted = np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
    assert wanted.shape == ((120, 100, 3) if orientation > 4 else (100, 120, 3))
    image = read_image(tmp_path / name)
    assert image is not None
    assert np.abs(image - wanted).max() <= 1


def test_exif_turns_sixteen_bits_of_grey(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = np.arange(6, dtype=np.uint16).reshape(2, 3) * 13107
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image is not None
    np.testing.assert_array_equal(image[..., 0], np.rot90(grey, 3))


def test_an_exif_entry_that_cannot_be_read_costs_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("bad operand type for abs(): 'str'")  # as Pillow does for some

    data = _encoded("jpg")
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    wanted = read_image(tmp_path / "a.jpg")
    monkeypatch.setattr(ImageOps, "exif_transpose", broken)
    assert wanted is not None
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), wanted)
    assert read_image(tmp_path / "cut.jpg") is None


JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:4:4": ("RGB", {"subsampling": 0}),
    "4:2:2": ("RGB", {"subsampling": 1}),
    "4:2:0": ("RGB", {"subsampling": 2, "quality": 50}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "four inks": ("CMYK", {}),
    "no transform": ("RGB", {"keep_rgb": True}),
}


def _jpeg(kind: str, orientation: int | None = None) -> bytes:
    mode, options = JPEGS[kind]
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture = Image.fromarray(load_sample_image("china.jpg")).convert(mode)
    picture.save(buffer, "JPEG", exif=exif, **options)
    return buffer.getvalue()


def _by_pillow(data: bytes, divisor: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft(None, (picture.width // divisor, picture.height // divisor))
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_is_what_pillow_makes_of_it(
    kind: str, divisor: int, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole and at a part of its size, with and without the faster decoder."""
    if not fast:
        monkeypatch.setattr(images, "simplejpeg", None)
    data = _jpeg(kind)
    made = decode_image(data, spare=lambda height, width: 2.0 * divisor)
    assert made is not None
    assert made.shape == (-(-427 // divisor), -(-640 // divisor), 3)
    np.testing.assert_array_equal(made, _by_pillow(data, divisor))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_is_decoded_upright_at_a_part_of_its_size(
    orientation: int, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fast:
        monkeypatch.setattr(images, "simplejpeg", None)
    data = _jpeg("4:2:0", orientation)
    asked = []

    def spare(height: int, width: int) -> float:
        asked.append((height, width))
        return 5.0

    made = decode_image(data, spare=spare)
    assert made is not None
    assert asked == [(640, 427) if 5 <= orientation <= 8 else (427, 640)]
    np.testing.assert_array_equal(made, _by_pillow(data, 2))


def test_a_picture_of_several_is_its_first(tmp_path: Path) -> None:
    """As cameras write them: a JPEG with smaller ones behind it."""
    photo = _photo()
    photo.save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[photo.rotate(180)])
    data = (tmp_path / "a.mpo").read_bytes()
    made = decode_image(data)
    assert made is not None
    np.testing.assert_array_equal(made, _by_pillow(data, 1))
    with Image.open(tmp_path / "a.mpo") as picture:
        assert picture.format == "MPO"


@pytest.mark.parametrize(
    ("spare", "divisor"), [(0.2, 1), (3.99, 1), (4.0, 2), (7.9, 2), (8.0, 4), (15.9, 4), (99.0, 8)]
)
def test_half_of_what_is_spare_is_left(spare: float, divisor: int) -> None:
    made = decode_image(_jpeg("grey"), spare=lambda height, width: spare)
    assert made is not None
    assert made.shape == (-(-427 // divisor), -(-640 // divisor), 3)


def test_any_backend_of_mmengine_may_hold_the_file(tmp_path: Path) -> None:
    @fileio.register_backend("held", prefixes="held", force=True)
    class Held(fileio.LocalBackend):
        def get(self, filepath: str | Path) -> bytes:
            assert filepath == "held://a.png"
            return _encoded("png")

    np.testing.assert_array_equal(read_image("held://a.png"), np.asarray(_photo()))


class _Endless(http.server.BaseHTTPRequestHandler):
    """Says how large a photo is, or sends bytes without end and does not; counts what it sent."""

    sent = 0

    def do_GET(self) -> None:
        photo = _encoded("png")
        self.send_response(200)
        if self.path == "/photo.png":
            self.send_header("Content-Length", str(len(photo)))
        if self.path == "/large.png":
            self.send_header("Content-Length", str(2**40))
        self.end_headers()
        with contextlib.suppress(OSError):  # the reader has gone
            if self.path == "/photo.png":
                self.wfile.write(photo)
            while self.path != "/photo.png" and self.sent < 2**28:
                self.wfile.write(bytes(2**16))
                type(self).sent += 2**16

    def log_message(self, *args: Any) -> None:
        """Keeps stderr clean."""


def test_over_http_no_more_is_fetched_than_is_read() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        np.testing.assert_array_equal(read_image(f"{address}/photo.png"), np.asarray(_photo()))
        for name, told in (("large", f"has {2**40} bytes"), ("endless", "has 100001 bytes")):
            _Endless.sent = 0
            assert why_unreadable(f"{address}/{name}.png", max_bytes=100_000).startswith(told)
            assert _Endless.sent < 2**27  # what lies in buffers beside
        server.shutdown()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 0.97])
def test_cut_off_files_are_unreadable_and_quiet(
    name: str, kept: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = _encoded(name)
    (tmp_path / name).write_bytes(data[: int(kept * len(data))])
    assert read_image(tmp_path / name) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FORMATS)
def test_no_cut_shows_other_pixels(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Grey where the file ends would be trained on; only what holds no pixels may be missing."""
    data, path = _encoded(name), tmp_path / name
    for length in [*range(1, len(data), len(data) // 60), *range(len(data) - 20, len(data))]:
        path.write_bytes(data[:length])
        image = read_image(path)
        assert image is None or (name == "png" and np.array_equal(image, np.asarray(_photo())))
    path.write_bytes(data + b"what some cameras append")
    assert read_image(path) is not None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_are_quiet(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An image or None, whatever the decoder makes of it, but no exception and no word."""
    whole, path = _encoded(name), tmp_path / name
    generator = np.random.default_rng(0)
    unreadable = 0
    for start, end in ((0, 200), (0, len(whole)), (len(whole) - 200, len(whole))):
        for _ in range(30):
            data = bytearray(whole)
            for position in generator.integers(start, end, 3):
                data[position] = generator.integers(256)
            path.write_bytes(data)
            image = read_image(path)
            unreadable += image is None
            assert image is None or (image.dtype == np.uint8 and image.shape[2:] == (3,))
    assert unreadable > 0
    assert capfd.readouterr().err == ""


def _png_with_flipped(what: bytes, offset: int) -> bytes:
    data = bytearray(_encoded("png"))
    chunk = data.find(what)
    length = int.from_bytes(data[chunk - 4 : chunk], "big")
    data[chunk + 4 + (offset if offset >= 0 else length - offset - 1)] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    ("what", "offset"),
    [(b"IHDR", -1), (b"IDAT", 0), (b"IDAT", 3000)],
    ids=["check sum of the header", "first byte of the pixels", "pixels"],
)
def test_a_damaged_png_is_unreadable_and_quiet(
    what: bytes, offset: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(_png_with_flipped(what, offset))
    assert read_image(tmp_path / "a.png") is None
    assert capfd.readouterr().err == ""


def test_a_wrong_check_sum_beside_right_pixels_costs_no_image(tmp_path: Path) -> None:
    """The compressed pixels have a sum of their own, which vouches for them."""
    (tmp_path / "a.png").write_bytes(_png_with_flipped(b"IDAT", -1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(_photo()))


@pytest.mark.parametrize("name", ["text.jpg", "empty.jpg", "folder.jpg", "missing.jpg"])
def test_foreign_and_missing_files_are_unreadable_and_quiet(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    assert read_image(tmp_path / name) is None
    assert capfd.readouterr().err == ""


def test_large_images_are_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow takes them for an attack from a size on that satellite images have."""
    (tmp_path / "a.png").write_bytes(_encoded("png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / "a.png") is not None
    assert Image.MAX_IMAGE_PIXELS == 100


def test_too_many_pixels_for_any_decoder_are_unreadable(tmp_path: Path) -> None:
    header = bytearray(_encoded("bmp")[:54])
    header[18:26] = (2**15).to_bytes(4, "little") + (2**15 + 1).to_bytes(4, "little")
    (tmp_path / "a.bmp").write_bytes(header)
    assert read_image(tmp_path / "a.bmp") is None


def _huge_png(side: int) -> bytes:
    """A picture of one colour, of few bytes."""
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", [*FORMATS, "big.tif"])
def test_an_image_with_too_many_pixels_is_not_decoded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name == "big.tif":
        _photo().save(path, "TIFF", big_tiff=True)
    else:
        path.write_bytes(_encoded(name))
    assert read_image(path, max_pixels=12_000) is not None
    monkeypatch.setattr(mmcv, "imfrombytes", None)  # it would not be called in vain
    assert read_image(path, max_pixels=11_999) is None
    assert "has 120 x 100 pixels, more than max_pixels=11999" in why_unreadable(path, 11_999)


def test_a_small_file_of_very_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_huge_png(15_000))
    assert (tmp_path / "a.png").stat().st_size < 100_000
    assert read_image(tmp_path / "a.png") is None
    assert "has 15000 x 15000 pixels" in why_unreadable(tmp_path / "a.png")


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(_encoded("png"))
        file.truncate(200 * 10**9)
    assert read_image(tmp_path / "a.png") is None
    assert "has 200000000000 bytes, more than max_bytes" in why_unreadable(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device", "a folder", "a link"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "a device" else path)
    assert read_image(path) is None
    assert why_unreadable(path).startswith(f"is {kind}")
    assert find_images(tmp_path).files == []
    odd = find_images(tmp_path).odd
    assert odd == {} if kind == "a folder" else odd["a.png"].startswith(kind)


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"P6 9 9 255\n" + bytes(300)]
)
def test_kinds_that_no_one_asked_for_are_not_decoded(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would have Ghostscript run the program that a PostScript file is."""
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_image(tmp_path / "a.jpg") is None
    assert (
        why_unreadable(tmp_path / "a.jpg") == "cannot be read as an image of any kind that is known"
    )


@pytest.mark.parametrize(
    "names",
    [
        ["last_checkpoint", "views.png"],
        ["train.log", "views.png"],
        ["summary.json", "curves.png", "backbone.safetensors"],
        ["train.log", "curves.png", "plots/tsne.png"],
    ],
)
def test_a_folder_that_holds_a_run_has_no_images(names: list[str], tmp_path: Path) -> None:
    _touch(tmp_path / "cat/1.jpg", *(tmp_path / "cat/run" / name for name in names))
    found = find_images(tmp_path)
    assert found.files == ["cat/1.jpg"]
    assert found.runs == ["cat/run"]


def test_the_default_place_of_runs_has_no_images(tmp_path: Path) -> None:
    _touch(
        tmp_path / "1.jpg", tmp_path / "work_dirs/a/b/curves.png", tmp_path / "a/work_dirs/c.png"
    )
    found = find_images(tmp_path)
    assert found.files == ["1.jpg"]
    assert sorted(found.runs) == ["a/work_dirs", "work_dirs"]


def test_a_run_in_the_data_folder_itself_costs_no_image(tmp_path: Path) -> None:
    _touch(*(tmp_path / name for name in ("1.jpg", "a/2.jpg", "last_checkpoint", "views.png")))
    found = find_images(tmp_path)
    assert found.files == ["1.jpg", "a/2.jpg"]
    assert found.runs == [""]


def test_a_file_of_ones_own_makes_no_run(tmp_path: Path) -> None:
    _touch(*(tmp_path / "a" / name for name in ("1.jpg", "summary.json", "train.log")))
    _touch(tmp_path / "b" / "views.png")
    assert find_images(tmp_path).files == ["a/1.jpg", "b/views.png"]
    assert find_images(tmp_path).runs == []


def test_a_listing_asks_nothing_more_of_a_regular_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(*(tmp_path / f"{number}.jpg" for number in range(50)))
    asked: list[Any] = []
    real = os.stat

    def counted(*arguments: Any, **more: Any) -> os.stat_result:
        asked.append(arguments)
        return real(*arguments, **more)

    monkeypatch.setattr(os, "stat", counted)
    monkeypatch.setattr(os, "lstat", counted)
    assert len(find_images(tmp_path).files) == 50
    assert len(asked) < 20


def test_pictures_of_phones_are_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pip install pillow-heif")
    heif.register_heif_opener()
    _photo().save(tmp_path / "a.heic", "HEIF", quality=100, chroma=444)
    image = read_image(tmp_path / "a.heic")
    assert image is not None
    assert np.abs(image - np.asarray(_photo()).astype(int)).mean() < 3


def test_a_picture_of_a_phone_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    monkeypatch.setattr(headers, "find_spec", lambda name: None)
    assert why_unreadable(tmp_path / "a.heic") == "is HEIC: pip install pillow-heif reads it"


def _stray(data: bytes, what: bytes) -> bytes:
    """A JPEG with bytes between its segments that belong to none."""
    end = 2 + 2 + int.from_bytes(data[4:6], "big")
    return data[:end] + what + data[end:]


@pytest.mark.parametrize("what", [b"stray", b"\0\0\0", b"\xff\xff\xff", b"x\xff\0y"])
def test_stray_bytes_between_segments_cost_no_image(
    what: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenCV, by libjpeg, reads such a file as it would without them."""
    data = _stray(_encoded("jpg"), what)
    (tmp_path / "a.jpg").write_bytes(data)
    image = read_image(tmp_path / "a.jpg")
    wanted = cv2.imdecode(np.frombuffer(_encoded("jpg"), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert wanted is not None
    assert np.abs(image - wanted[..., ::-1].astype(int)).max() <= 3
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    assert read_image(tmp_path / "cut.jpg") is None
    assert capfd.readouterr().err == ""


def test_remarks_of_libpng_do_not_reach_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A profile that is none, in a PNG of 16 bits of colour, which OpenCV reads."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (9, 7, 3), dtype=np.uint16)
    data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    body = b"iCCPname\0\0" + zlib.compress(b"no profile")
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)
    assert capfd.readouterr().err == ""
