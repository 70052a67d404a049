"""Files of others: what they are, what they would run, and what they unpack to."""

from __future__ import annotations

import io
import os
import pickle
import socket
import tracemalloc
import zipfile
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from mvssl.checkpoint import (
    load_checkpoint,
    open_safetensors,
    read_content,
    save_checkpoint,
)
from mvssl.errors import UserError
from mvssl.intake import check_file, check_torch_file
from mvssl.intake.pickles import describe_pickle


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to too much is small, so that it is quick."""
    monkeypatch.setattr("mvssl.intake.files.MOST_UNPACKED", (4, 2**20))


class _Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


class _Bomb:
    """Unpickled, it takes any amount of memory."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def _zipped(content: bytes, name: str = "archive/data.pkl", how: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(name, content)
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", ["pickle", "zip", "zip in a zip", "torch", "torch legacy", "cut"])
def test_an_object_that_would_run_code_is_called_so(
    protocol: int, form: str, tmp_path: Path
) -> None:
    trap, file = tmp_path / "trap", tmp_path / "a.pth"
    content = {"state_dict": {"w": torch.ones(1)} if "torch" in form else {}, "meta": _Trap(trap)}
    plain = b"" if "torch" in form else pickle.dumps(content, protocol)
    if form == "pickle":
        file.write_bytes(plain)
    elif form == "cut":
        file.write_bytes(plain[:-1])  # loading runs what comes before
    elif form == "zip":
        file.write_bytes(_zipped(plain))
    elif form == "zip in a zip":
        file.write_bytes(_zipped(_zipped(plain), "archive/model.pth"))
    else:
        torch.save(
            content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "torch"
        )
    with pytest.raises(UserError, match=r"\((posix|nt)\.system\).*could run code") as caught:
        load_checkpoint(file)
    assert "\n" not in str(caught.value)
    assert not trap.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text, no pickle",
        b"cat\ndog\n",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"PK\3\4",
        os.urandom(999),
    ],
)
def test_what_is_no_pickle_is_not_said_to_run_code(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(UserError, match="is not a checkpoint, or it is damaged"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("call", [bytearray, torch.Tensor, torch.storage.UntypedStorage])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_short_call_cannot_take_all_memory(call: Any, zipped: bool, tmp_path: Path) -> None:
    torch.save({"a": _Bomb(call, 2**33)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="could run code"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("how", ["deflated", "other member", "nested"])
def test_an_archive_that_unpacks_to_far_more_is_refused(how: str, tmp_path: Path) -> None:
    file, squeeze = tmp_path / "a.pth", zipfile.ZIP_DEFLATED
    if how == "deflated":
        whole = tmp_path / "whole.pth"
        torch.save({"w": torch.zeros(2**21)}, whole)
        with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(file, "w", squeeze) as out:
            for one in archive.infolist():
                out.writestr(one.filename, archive.read(one))
    else:
        inner = _zipped(bytes(2**23), "archive/data/0", squeeze)
        file.write_bytes(inner if how == "other member" else _zipped(inner, "archive/a.pth"))
    assert file.stat().st_size < 2**20
    with pytest.raises(UserError, match=r"would unpack to \d+\.\d MB, so it is refused"):
        read_content(file)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(
    legacy: bool, tmp_path: Path
) -> None:
    """A number among many shown as a huge tensor; and one that says how large its memory is."""
    file = tmp_path / "a.pth"
    wide = torch.zeros(1).expand(2**40)
    torch.save({"w": wide}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="would unpack to"):
        read_content(file)
    torch.save({"w": torch.zeros(77)}, file, _use_new_zipfile_serialization=not legacy)
    lie = file.read_bytes().replace(b"KM", b"J\xff\xff\xff\x7f", 2)  # 77 elements
    file.write_bytes(lie)
    with pytest.raises(UserError):
        read_content(file)


def test_what_torch_writes_of_tensors_and_containers_opens(tmp_path: Path) -> None:
    w = torch.randn(4, 3)
    content = {
        "tensors": OrderedDict(w=w, view=w[1:], parameter=torch.nn.Parameter(w), none=None),
        "kinds": [torch.zeros(2, dtype=t) for t in (torch.bool, torch.bfloat16, torch.complex64)],
        "plain": (1, 2.5, "text", [True, {"a"}], b"bytes", 2**70, torch.Size([2]), w.dtype),
        "device": torch.device("cpu"),
    }
    for zipped in (False, True):
        if zipped:  # torch cannot read these from the old form
            content["numpy"] = torch.from_numpy(np.arange(3, dtype=np.uint32))
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        opened = load_checkpoint(tmp_path / "a.pth")
        assert torch.equal(opened["tensors"]["view"], w[1:])
        assert opened["plain"] == content["plain"]


def _memo(first: bytes, each: bytes, times: int) -> bytes:
    """A pickle that keeps one thing and does something with it many times."""
    return b"\x80\x02" + first + b"q\0" + b"]" + (b"h\0" + each) * times + b"."


HUGE = b"\x8a\x06\0\0\0\0\0\x01"  # 2 ** 40
SHORT = b"((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0\x30X\3\0\0\0cpuK\1tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor\n" + SHORT
CLAIMS = {
    "torch.Size": TENSOR + b"K\0ctorch\nSize\n" + HUGE + b"\x85\x85RK\0\x85tR.",
    "torch.Size of a list": TENSOR + b"K\0ctorch\nSize\n](" + HUGE + b"e\x85RK\0\x85tR.",
    "True": TENSOR + b"K\0\x88" + HUGE + b"\x86K\0K\0\x86tR.",
    "list": TENSOR + b"K\0](" + HUGE + b"eK\0\x85tR.",
    "arguments in a list": TENSOR[: -len(SHORT)]
    + b"]("
    + SHORT[1:]
    + b"K\0"
    + HUGE
    + b"\x85K\0\x85eR.",
    "offset": TENSOR + HUGE + b"K\1\x85K\1\x85tR.",
    "stride": TENSOR + b"K\0K\2\x85" + HUGE + b"\x85tR.",
    "set": TENSOR + b"K\0K\1\x85K\1\x85tR(" + SHORT[1:] + b"K\0" + HUGE + b"\x85K\1\x85tb.",
    "storage": SHORT[1:].replace(b"K\1tQ", HUGE + b"tQ."),
    "bytearray": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "bytes": b"\x80\x05\x8e" + (2**40).to_bytes(8, "little") + b".",
    "text": b"\x80\x05\x8d" + (2**40).to_bytes(8, "little") + b".",
    "frame": b"\x80\x05\x95" + (2**40).to_bytes(8, "little") + b".",
    "number": b"\x8b\xff\xff\xff\x7f.",
    "deep key": b"}" + b")" + b"\x85" * 10**4 + b"Ns.",
    "key that doubles": b"}" + b")" + b"2\x86" * 60 + b"Ns.",
    "key of a set that doubles": b"cbuiltins\nset\n]" + b")" + b"2\x86" * 60 + b"a\x85R.",
    "keys of one hash": b"}("
    + b"".join(b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(5_000))
    + b"u.",
    "deep": b"]" * 10**3 + b"a" * 999 + b".",
    "doubling": b"]K\1" + b"2\x86" * 90 + b"a.",
    "itself": b"]q\0h\0a.",
    "objects": b"]" * 10**5 + b".",
    "memo": b"N" + b"\x94" * 10**5 + b".",
    "marks": b"(" * 10**5 + b".",
    "stack": b"N" + b"2" * 3 * 10**5 + b".",
    "sets": _memo(
        b"](" + b"".join(b"M" + i.to_bytes(2, "little") for i in range(9999)) + b"e",
        b"0cbuiltins\nset\nh\0\x85Ra",
        9999,
    ),
    "texts": _memo(
        b"X" + (10**5).to_bytes(4, "little") + b"a" * 10**5,
        b"0c_codecs\nencode\nh\0X\6\0\0\0latin1\x86Ra",
        9999,
    ),
    "slow text": b"c_codecs\nencode\nX\1\0\0\0aX\x08\0\0\0punycode\x86R.",
    "calls of calls": b"ccollections\nOrderedDict\n" + b")R" * 10**5 + b".",
}


def _write(file: Path, content: bytes, zipped: bool) -> None:
    """A file of torch that holds a pickle, and a storage of four bytes."""
    if zipped:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/data/0", bytes(4))
            archive.writestr("archive/version", "3")
    else:
        heads = [torch.serialization.MAGIC_NUMBER, 1001, {}]
        file.write_bytes(b"".join(pickle.dumps(x, 2) for x in heads) + content + b"].")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_short_pickle_takes_neither_memory_nor_time(
    claim: str, zipped: bool, tmp_path: Path
) -> None:
    file = tmp_path / "a.pth"
    _write(file, CLAIMS[claim], zipped)
    with open(file, "rb") as given, pytest.raises(UserError, match=r"refused|damaged"):
        check_torch_file(file, given)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("size", [b"K%s\x85", b"ctorch\nSize\nK%s\x85\x85R"])
def test_a_tensor_may_be_as_large_as_its_memory_and_no_larger(
    size: bytes, zipped: bool, tmp_path: Path
) -> None:
    file = tmp_path / "a.pth"
    for elements, refused in ((b"\1", False), (b"\2", True)):
        _write(file, TENSOR + b"K\0" + size % elements + b"K\1\x85tR.", zipped)
        told = pytest.raises(UserError, match=r"refused|damaged") if refused else nullcontext()
        with open(file, "rb") as given, told:
            check_torch_file(file, given)


def test_a_member_is_unpacked_no_further_than_it_says(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    content = _zipped(b"N" * 2**26, how=zipfile.ZIP_DEFLATED)
    file.write_bytes(content.replace((2**26).to_bytes(4, "little"), (99).to_bytes(4, "little")))
    tracemalloc.start()
    with open(file, "rb") as given, pytest.raises(UserError, match="is damaged"):
        check_torch_file(file, given)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"}.")
        archive.writestr("archive/DATA.pkl", b"}.")
    with pytest.raises(UserError, match="two parts of it have one name"):
        read_content(tmp_path / "a.pth")


def test_names_in_a_pickle_do_not_fill_memory(tmp_path: Path) -> None:
    """Of what they call in turn; and of many names, and long ones, the first are told."""
    calls = b"cx\ny\n" + b")R" * 10**4 + b"."
    names = b"]" + b"".join(b"cx\n" + f"y{i}".encode() * 999 + b"\n)Ra" for i in range(99)) + b"."
    for content in (calls, names):
        with io.BytesIO(content) as given:
            foreign = describe_pickle(given, 2**30).foreign
        assert 1 <= len(foreign) < 10
        assert all(len(name) < 120 for name in foreign)


def test_a_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what is loaded is what was checked."""
    file = tmp_path / "a.pth"
    save_checkpoint({"w": torch.ones(2)}, file)
    opened: list[object] = []
    plain = open

    def count(name: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(name)
        return plain(name, *arguments, **options)

    for module in ("builtins", "io"):
        monkeypatch.setattr(f"{module}.open", count)
    assert load_checkpoint(file)["w"].tolist() == [1, 1]
    assert opened == [file]


def test_a_file_system_that_counts_no_blocks_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2**24 + 99)}, file)
    known = os.stat(file)

    class _NoBlocks:
        st_mode, st_size, st_blocks = known.st_mode, known.st_size, 0

    monkeypatch.setattr(os, "stat", lambda *_, **__: _NoBlocks)
    assert check_file(file) == known.st_size


@pytest.mark.parametrize("kind", ["a folder", "a named pipe", "a socket", "a device", "a link"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    if kind == "a folder":
        file.mkdir()
    elif kind == "a named pipe":
        os.mkfifo(file)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(file))
    elif kind == "a device":
        file.symlink_to("/dev/zero")
    else:
        file.symlink_to(file)
    for open_it in (load_checkpoint, open_safetensors):
        with pytest.raises(UserError, match=f"is {kind}.*give the path of a regular file"):
            open_it(file)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_of_holes_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "a.pth":
        torch.save({"w": torch.ones(9)}, file)
    else:
        safetensors.torch.save_file({"w": torch.ones(9)}, file)
    os.truncate(file, 200 * 10**9)
    with pytest.raises(UserError, match=r"200\.0 GB that it claims, nearly all are holes"):
        read_content(file)


def test_a_program_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(_zipped(b"def f(): ...", "archive/code/__torch__.py"))
    with pytest.raises(UserError, match="TorchScript archive, which holds a program"):
        load_checkpoint(tmp_path / "a.pt")
