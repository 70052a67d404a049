"""What a pickle would do, found out without doing it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
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
_TYPED: Final = "torch._utils._rebuild_tensor_v3"  # its seventh argument is the type of its items
_TENSORS: Final = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    _TYPED,
}
_COLLECTIONS: Final = {"builtins.set", "collections.Counter", "collections.OrderedDict"}
_ENCODINGS: Final = ("latin1", "latin-1", "utf-8", "utf8", "ascii")  # others are slow, or grow
# What tensors, numbers and containers are made by. torch allows more, such as torch.Tensor and
# bytearray, of which one short call takes any amount of memory.
_CALLED: Final = (
    _TENSORS
    | _COLLECTIONS
    | {
        "_codecs.encode",
        "builtins.complex",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch.device",
        "torch.nn.parameter.Parameter",
    }
)
_DTYPES: Final = {str(one): one for one in vars(torch).values() if type(one) is torch.dtype}
# What tensors are described by without a call: torch.float32, ...
_NAMED: Final = _STORAGES | set(_DTYPES)

_MOST_FOREIGN: Final = 8
_DEEPEST: Final = 100  # containers within each other: what is deeper breaks Python's recursion
_MOST_SIDES: Final = 64
_LARGEST: Final = 2**62
_LARGEST_KEY: Final = 2**60  # beyond, different numbers have one hash
_CALL, _ENTRY, _POINTER = 512, 100, 16  # bytes
_TAKES: Final = {
    **dict.fromkeys((pickle.REDUCE, pickle.NEWOBJ, pickle.NEWOBJ_EX), _CALL),
    **dict.fromkeys((pickle.INST, pickle.OBJ, pickle.BINPERSID), _CALL),
    **dict.fromkeys((pickle.MEMOIZE, pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT), _ENTRY),
    **dict.fromkeys((pickle.MARK, pickle.LIST, pickle.DICT, pickle.FROZENSET), _ENTRY),
    **dict.fromkeys((pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.TUPLE), 64),
    **dict.fromkeys((pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3), 64),
    **dict.fromkeys((pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.SHORT_BINBYTES), 64),
    **dict.fromkeys((pickle.BINFLOAT, pickle.BININT, pickle.BININT2, pickle.LONG1), 40),
    pickle.EMPTY_SET: 224,
}
"""Bytes that are taken by what an opcode makes, where that is more than a pointer."""

_KEYS: Final = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: slice(0, None, 2),
    pickle.DICT: slice(0, None, 2),
    pickle.ADDITEMS: slice(None),
    pickle.FROZENSET: slice(None),
}
"""Where on the stack what an opcode hashes lies."""


class Readable(Protocol):
    """What a pickle is read from."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


@dataclass
class PickleContent:
    """What one pickle holds.

    Attributes:
        foreign: what it imports or calls besides tensors, numbers and plain containers; the first
            few names of it.
        calls: how many calls it makes, allowed ones included.
        storages: bytes that it asks for each storage, by the storage's name.
        tensor_bytes: of all its tensors together, as large as they say they are.
        made: bytes that its objects take without the tensors, about; written out, without what
            they share.
        whole: whether it was read to its end, and is as torch writes.
        why: what is wrong with it where it is not.
    """

    foreign: set[str] = field(default_factory=set)
    calls: int = 0
    storages: dict[str, int] = field(default_factory=dict)
    tensor_bytes: int = 0
    made: int = 0
    whole: bool = False
    why: str = "it breaks off, or is not what torch writes"


class _Inert:
    """Stands for a class, a function or what it makes, and does nothing.

    Attributes:
        name: of a class or a function; of what it made, with ``()``.
        held: what it was given.
    """

    def __init__(self, name: str, held: Iterable[Any] = ()) -> None:
        self.name = name
        self.held = list(held)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held.append(value)


class _Storage(_Inert):
    """Stands for a tensor's memory: bytes, and bytes of an item."""

    def __init__(self, size: int, item: int) -> None:
        super().__init__("storage()")
        self.size, self.item = size, item


class _Refused(pickle.UnpicklingError):
    """A pickle does what torch never writes; the text says what."""


# The class in C would take memory for whatever a pickle says that it needs.
class _Reader(pickle._Unpickler):
    """Goes through a pickle with inert objects in the place of all that it names."""

    stack: list[Any]

    def __init__(self, file: Readable, content: PickleContent, most: int) -> None:
        super().__init__(file, encoding="latin-1")
        self.content, self.most = content, most

    def take(self, count: int) -> None:
        self.content.made += count
        if self.content.made > self.most:
            raise _Refused("it makes too many objects")

    def find_class(self, module: str, name: str) -> _Inert:
        if not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
            raise _Refused("it names what is no name of Python")  # it is no pickle at all
        # Python 2 has other names for a few modules.
        module = {"__builtin__": "builtins", "UserDict": "collections"}.get(module, module)
        full = f"{module}.{name}"
        if full not in _CALLED and full not in _NAMED:
            self.add_foreign(full)
        return _Inert(full)

    def add_foreign(self, name: str) -> None:
        self.content.foreign.add(name if len(name) <= 100 else f"{name[:100]}...")
        if len(self.content.foreign) > _MOST_FOREIGN:
            raise _Refused("it names many things")

    def persistent_load(self, pid: Any) -> _Storage:
        if type(pid) is str:  # as in the oldest form of pickles, which torch refuses
            return _Storage(_LARGEST, 1)
        # ("storage", kind, key, device, elements), and as torch < 1.6 wrote None, or a part of one.
        if type(pid) is not tuple or len(pid) < 5 or any(one is not None for one in pid[5:]):
            raise _Refused("a storage in it is not described as torch describes it")
        _, kind, key, _, count = pid[:5]
        if not isinstance(kind, _Inert) or type(key) not in (str, int) or not _is_size((count,)):
            raise _Refused("a storage in it is not described as torch describes it")
        item = _ITEM_BYTES.get(kind.name.rsplit(".", 1)[-1], 16)
        wanted = count * item
        storages = self.content.storages
        storages[str(key)] = max(storages.get(str(key), 0), wanted)
        return _Storage(wanted, item)

    def call(self, called: Any, arguments: Any) -> Any:
        self.content.calls += 1
        if not isinstance(called, _Inert) or called.name.endswith("()"):
            raise _Refused("it calls what is no function")
        if type(arguments) is not tuple:
            raise _Refused("it calls a function without arguments")
        name = called.name
        if name not in _CALLED:
            self.add_foreign(name)
        elif name in _TENSORS:
            self.add_tensor(name, arguments)
        elif name in _COLLECTIONS:
            self.check_collection(name, arguments)
        elif name == "_codecs.encode":
            if len(arguments) != 2 or arguments[1] not in _ENCODINGS:
                raise _Refused("it encodes a text in another way than pickles do")
            self.take(len(arguments[0]))
        elif name == "torch.Size":
            if len(arguments) != 1 or not _is_size(arguments[0]):
                raise _Refused("a size in it is not made of numbers")
            return arguments[0]
        return _Inert(f"{name}()", arguments)

    def add_tensor(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A tensor's memory; torch makes a storage longer for one that reaches beyond it."""
        if len(arguments) < 4 or not isinstance(arguments[0], _Storage):
            raise _Refused("a tensor in it is not described as torch describes it")
        storage, offset, size, stride = arguments[:4]
        if not (_is_size((offset,)) and _is_size(size) and _is_size(stride)):
            raise _Refused("a size in it is not made of numbers")
        item = storage.item
        if name == _TYPED:
            dtype = arguments[6].name if len(arguments) > 6 else ""
            item = _DTYPES[dtype].itemsize
        count = prod(size)
        reach = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if count and reach * item > storage.size:
            raise _Refused("a tensor in it is larger than what the file holds of it")
        self.content.tensor_bytes = min(self.content.tensor_bytes + count * item, _LARGEST)

    def check_collection(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A set, a Counter or an OrderedDict of what one argument holds."""
        for given in arguments:
            if type(given) not in (list, tuple, dict, set) or len(arguments) > 1:
                raise _Refused(f"a {name.rpartition('.')[2]} in it is made of something else")
            pairs = name == "collections.OrderedDict" and type(given) is not dict
            self.check_keys(pair[0] for pair in given) if pairs else self.check_keys(given)

    def check_keys(self, keys: Iterable[Any]) -> None:
        """What is hashed is quick to hash."""
        for key in keys:
            self.take(_ENTRY)
            parts = key if type(key) is tuple and len(key) <= _MOST_SIDES else (key,)
            if not all(map(_is_quick, parts)):
                raise _Refused("a key in it is no text or number")

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack.append(self.call(self.stack.pop(), arguments))

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_newobj()

    def _instantiate(self, called: Any, arguments: Iterable[Any]) -> None:
        self.stack.append(self.call(called, tuple(arguments)))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self.call(self.stack[-1], arguments)

    def load_build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, _Inert):
            raise _Refused("it changes what it made")
        name = built.name.removesuffix("()")
        if name == "collections.OrderedDict" and type(state) is dict:
            self.take(len(state) * _ENTRY)  # which are copied
        elif name not in self.content.foreign:  # of a tensor, it would change the size
            raise _Refused("it changes what it made")
        built.held.append(state)

    def load_bytearray8(self) -> None:
        raise _Refused("it holds a bytearray")  # its memory would be taken before it is read

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {}


def _metered(opcode: int) -> Callable[[_Reader], None]:
    """What an opcode does, once it is known to take no more than it may."""
    load: Callable[..., None] = pickle._Unpickler.dispatch[opcode]
    load = getattr(_Reader, load.__name__, load)
    takes, keys = _TAKES.get(bytes([opcode]), _POINTER), _KEYS.get(bytes([opcode]))

    def metered(reader: _Reader) -> None:
        reader.take(takes)
        if keys is not None:
            reader.check_keys(reader.stack[keys])
        load(reader)

    return metered


_Reader.dispatch.update({opcode: _metered(opcode) for opcode in pickle._Unpickler.dispatch})


def _is_size(sides: Any) -> bool:
    """Whether it is a tuple of numbers such as a tensor's size; True is none."""
    return (
        type(sides) is tuple
        and len(sides) <= _MOST_SIDES
        and all(type(side) is int and 0 <= side < _LARGEST for side in sides)
    )


def _is_quick(key: Any) -> bool:
    if type(key) is int:
        return abs(key) < _LARGEST_KEY
    return key is None or isinstance(key, str | bytes | bool | float | _Inert)


def _held(value: Any) -> list[Any]:
    """What a container holds and could hold others in turn; keys cannot."""
    inner = value.held if isinstance(value, _Inert) else value
    inner = inner.values() if isinstance(inner, dict) else inner
    return [one for one in inner if isinstance(one, tuple | list | dict | _Inert)]


def _count(root: Any) -> int:
    """Of what ``root`` holds, at every depth, how many there are where nothing is shared.

    Raises:
        _Refused: it is too deep, or holds itself.
    """
    done: dict[int, tuple[int, int]] = {}  # depth and count, by identity
    opened: set[int] = set()
    todo = [root] if _held([root]) else []
    while todo:
        value = todo[-1]
        inner = _held(value)
        if id(value) not in opened:
            opened.add(id(value))
            todo += [one for one in inner if id(one) not in done]
            continue
        todo.pop()
        if id(value) in done:
            continue
        if any(id(one) not in done for one in inner):
            raise _Refused("a container in it holds itself")
        measured = [done[id(one)] for one in inner]
        depth = 1 + max((one[0] for one in measured), default=0)
        if depth > _DEEPEST:
            raise _Refused(f"its containers lie within each other, over {_DEEPEST} deep")
        size = len(value.held if isinstance(value, _Inert) else value)
        done[id(value)] = depth, size + sum(one[1] for one in measured)
    return done[id(root)][1] if done else 0


def describe_pickle(file: Readable, most: int) -> PickleContent:
    """What the pickle at the present place of ``file`` holds; nothing of it is imported or run.

    ``file`` is in memory or mapped into it, so that a length that the pickle claims is not
    believed. A pickle that breaks off, or whose objects would take more than ``most`` bytes, is
    described as far as it goes.
    """
    content = PickleContent()
    try:
        made = _Reader(file, content, most).load()
        content.made = min(max(content.made, _count(made) * _POINTER), _LARGEST)
        content.whole = True
    except _Refused as error:
        content.why = str(error)
    except Exception:  # damaged bytes raise nearly anything
        pass
    return content
