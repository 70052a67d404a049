"""What a pickle would do, found out without doing it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, Final, Protocol

import torch

__all__ = ["PickleContent", "describe_pickle"]

_ITEM_BYTES: Final = {
    "BFloat16Storage": 2,
    "BoolStorage": 1,
    "ByteStorage": 1,
    "CharStorage": 1,
    "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8,
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "IntStorage": 4,
    "LongStorage": 8,
    "ShortStorage": 2,
    "UntypedStorage": 1,
}
_STORAGES: Final = {f"torch.{name}" for name in _ITEM_BYTES} | {"torch.storage.UntypedStorage"}
_TENSORS: Final = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
}
# What tensors, numbers and containers are made by. torch allows more, such as torch.Tensor and
# bytearray, of which one short call takes any amount of memory.
_CALLED: Final = _TENSORS | {
    "_codecs.encode",
    "builtins.complex",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "torch.Size",
    "torch._utils._rebuild_parameter",
    "torch.device",
    "torch.nn.parameter.Parameter",
}
# What tensors are described by without a call: torch.float32, ...
_NAMED: Final = _STORAGES | {str(one) for one in vars(torch).values() if type(one) is torch.dtype}


class Readable(Protocol):
    """What a pickle is read from."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


@dataclass
class PickleContent:
    """What one pickle holds.

    Attributes:
        foreign: what it imports or calls besides tensors, numbers and plain containers.
        calls: how many calls it makes, allowed ones included.
        storages: bytes that it asks for each storage, by the storage's name.
        tensor_bytes: of all its tensors together, as large as they say they are.
        whole: whether it was read to its end.
    """

    foreign: set[str] = field(default_factory=set)
    calls: int = 0
    storages: dict[str, int] = field(default_factory=dict)
    tensor_bytes: int = 0
    whole: bool = False


class _Inert:
    """Stands for a class, a function or what it makes, and does nothing."""

    def __init__(self, name: str, content: PickleContent) -> None:
        self._name = name
        self._content = content

    def __call__(self, *arguments: Any) -> _Inert:
        content = self._content
        content.calls += 1
        if self._name not in _CALLED:
            content.foreign.add(self._name)
        if self._name in _TENSORS and len(arguments) > 2:
            storage, _, size = arguments[:3]
            count = prod(size) if all(type(side) is int for side in size) else 0
            content.tensor_bytes += count * (storage.item if isinstance(storage, _Storage) else 1)
        return _Inert(f"{self._name}()", content)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


class _Storage(_Inert):
    """Stands for a tensor's memory."""

    def __init__(self, item: int, content: PickleContent) -> None:
        super().__init__("storage", content)
        self.item = item


# The class in C would take memory for whatever a pickle says that it needs.
class _Reader(pickle._Unpickler):
    """Goes through a pickle with inert objects in the place of all that it names."""

    stack: list[Any]

    def __init__(self, file: Readable, content: PickleContent) -> None:
        super().__init__(file, encoding="latin-1")
        self.content = content

    def find_class(self, module: str, name: str) -> _Inert:
        if not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
            raise pickle.UnpicklingError("no name of Python")  # it is no pickle at all
        # Python 2 has other names for a few modules.
        module = {"__builtin__": "builtins", "UserDict": "collections"}.get(module, module)
        full = f"{module}.{name}"
        if full not in _CALLED and full not in _NAMED:
            self.content.foreign.add(full)
        return _Inert(full, self.content)

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple):  # as in the oldest form of pickles, which torch refuses
            return _Storage(1, self.content)
        _, kind, key, _, count = pid[:5]  # ("storage", kind, key, device, elements, ...)
        name = getattr(kind, "_name", "").rsplit(".", 1)[-1]
        item = _ITEM_BYTES.get(name, 16)
        wanted = int(count) * item
        self.content.storages[str(key)] = max(self.content.storages.get(str(key), 0), wanted)
        return _Storage(item, self.content)

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack.append(self.stack.pop()(*arguments))

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_newobj()

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
    }


def describe_pickle(file: Readable) -> PickleContent:
    """What the pickle at the present place of ``file`` holds; nothing of it is imported or run.

    ``file`` is in memory or mapped into it, so that a length that the pickle claims is not
    believed. A pickle that breaks off is described as far as it goes.
    """
    content = PickleContent()
    try:
        _Reader(file, content).load()
        content.whole = True
    except Exception:  # damaged bytes raise nearly anything
        pass
    return content
