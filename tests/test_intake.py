"""Files of others: what they are, what they would run, and what they unpack to."""

from __future__ import annotations

import io
import os
import pickle
import socket
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from mvssl.checkpoint import load_checkpoint, open_safetensors, read_weights
from mvssl.errors import UserError


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
        torch.save({"w": torch.zeros(2**27)}, whole)
        with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(file, "w", squeeze) as out:
            for one in archive.infolist():
                out.writestr(one.filename, archive.read(one))
    else:
        inner = _zipped(bytes(2**29), "archive/data/0", squeeze)
        file.write_bytes(inner if how == "other member" else _zipped(inner, "archive/a.pth"))
    assert file.stat().st_size < 2**20
    with pytest.raises(UserError, match=r"would unpack to \d+\.\d MB, so it is refused"):
        read_weights(file)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(
    legacy: bool, tmp_path: Path
) -> None:
    """A number among many shown as a huge tensor; and one that says how large its memory is."""
    file = tmp_path / "a.pth"
    wide = torch.zeros(1).expand(2**40)
    torch.save({"w": wide}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="would unpack to"):
        read_weights(file)
    torch.save({"w": torch.zeros(77)}, file, _use_new_zipfile_serialization=not legacy)
    lie = file.read_bytes().replace(b"KM", b"J\xff\xff\xff\x7f", 2)  # 77 elements
    file.write_bytes(lie)
    with pytest.raises(UserError):
        read_weights(file)


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
        read_weights(file)


def test_a_program_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(_zipped(b"def f(): ...", "archive/code/__torch__.py"))
    with pytest.raises(UserError, match="TorchScript archive, which holds a program"):
        load_checkpoint(tmp_path / "a.pt")
