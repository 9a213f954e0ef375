"""Tensors out of a pickled checkpoint (.ckpt, .bin, .pt) without importing or calling anything it names.

A trainer's checkpoint pickles more than tensors: configurations, schedulers, paths. ``torch.load`` with
``weights_only=True`` refuses such a file whole; without it, the file may run any program. Here the pickle
is read by an unpickler of its own, in which a name means one of a few functions of this module (a
tensor, a storage, a plain container) and every other name becomes an `Inert`: an object that can be
called, filled and copied about, and does nothing.

    state = read_tensors_only("weights.ckpt")          # name -> tensor, of "state_dict" where there is one

Both formats of ``torch.save`` are read: the zip archive and the older stream.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from seqsuite.errors import UserError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


class Inert:
    """Stands for whatever a checkpoint names besides tensors and plain containers: takes anything, does nothing."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Make one, whatever the arguments."""
        return super().__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> Inert:
        """Give itself, whatever the arguments."""
        return self

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Take an item of what pickled itself as a list."""

    def extend(self, _: Any) -> None:
        """Take the items of what pickled itself as a list."""

    def add(self, _: Any) -> None:
        """Take an item of what pickled itself as a set."""


class _Mapping(dict):
    """An OrderedDict, defaultdict or Counter of the file; attributes that it carried are dropped."""

    def __setstate__(self, _: Any) -> None:
        pass


class _Builder:
    """A function that the pickle may call; it has no attributes that the pickle could change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


class _StorageType:
    """Names the element type of a storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a storage type")


def _view(flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    if offset < 0 or min((*size, *stride), default=0) < 0:
        raise pickle.UnpicklingError("it holds a tensor of negative size or stride")
    if not all(size):
        return flat.new_empty(size)
    if offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= flat.numel():
        raise pickle.UnpicklingError("it holds a tensor that is larger than its storage")
    return flat.as_strided(size, stride, offset)


def _typed_view(
    flat: Tensor, offset: int, size: tuple, stride: tuple, _: Any, __: Any, dtype: torch.dtype, *___: Any
) -> Tensor:
    return _view(flat.view(dtype), offset, size, stride)


def _subclass(function: Any, _: Any, arguments: tuple, __: Any) -> Any:
    return function(*arguments) if isinstance(function, _Builder) else Inert()


def _mapping(*arguments: Any) -> _Mapping:
    given = arguments[0] if arguments else ()
    return _Mapping(given) if isinstance(given, dict | list | tuple) else _Mapping()


def _bytes(text: Any, *_: Any) -> bytes:
    return text.encode("latin1") if isinstance(text, str) else b""


def _first(value: Any = None, *_: Any) -> Any:
    return value


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_tensor_v3": _typed_view,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "_codecs.encode": _bytes,
    "builtins.set": lambda items=(): set(items),
    "builtins.frozenset": lambda items=(): frozenset(items),
    "builtins.list": lambda items=(): list(items),
    "builtins.dict": _mapping,
    "builtins.tuple": lambda items=(): tuple(items),
    "builtins.complex": lambda real=0.0, imaginary=0.0: complex(float(real), float(imaginary)),
    "builtins.bytearray": lambda *given: Inert(),
}


class _Unpickler(pickle.Unpickler):
    """Resolves names in the tables above and nowhere else.

    Args:
        file: The pickle.
        storage: ``(dtype, key, elements, view)`` to a flat tensor.
    """

    def __init__(self, file: IO[bytes], storage: Callable[..., Tensor] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if name.lstrip("_") in _STORAGES and module.split(".")[0] == "torch":
            return _StorageType(_STORAGES[name.lstrip("_")])
        builder = _BUILDERS.get(f"{module.replace('__builtin__', 'builtins')}.{name}")
        return Inert if builder is None else _Builder(builder)

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or self._storage is None:
            raise pickle.UnpicklingError("it refers to something that is no storage")
        kind, key, _, elements = pid[1:5]
        if not isinstance(kind, _StorageType) or not isinstance(elements, int) or elements < 0:
            raise pickle.UnpicklingError("a storage has no element type or size")
        return self._storage(kind.dtype, str(key), elements, pid[5] if len(pid) > 5 else None)


def _load_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl"]
        if len(names) != 1:
            raise pickle.UnpicklingError("it is a zip archive that torch.save did not write")
        folder = names[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order).decode("ascii") != sys.byteorder:
            raise pickle.UnpicklingError("it was written on a machine of the other byte order")
        flat: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, elements: int, _: Any) -> Tensor:
            if key not in flat:
                record = archive.getinfo(f"{folder}data/{key}")
                if record.compress_type != zipfile.ZIP_STORED or record.file_size != elements * dtype.itemsize:
                    raise pickle.UnpicklingError(f"its record {record.filename} has the wrong size")
                # zipfile compares the record's checksum at its end, so damage does not pass unseen.
                content = bytearray(archive.read(record))
                flat[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            return flat[key]

        with archive.open(names[0]) as file:
            return _Unpickler(file, storage).load()


def _load_stream(path: Path) -> Any:
    size = path.stat().st_size
    with path.open("rb") as file:
        if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
            raise pickle.UnpicklingError("torch.save did not write it")
        _Unpickler(file).load()  # the writer's machine
        flat: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, elements: int, view: Any) -> Tensor:
            if key not in flat:
                if elements * dtype.itemsize + sum(known.nbytes for known in flat.values()) > size:
                    raise pickle.UnpicklingError("its storages are larger than the file")
                flat[key] = torch.zeros(elements, dtype=dtype)
            return flat[key] if view is None else flat[key][view[1] : view[1] + view[2]]

        values = _Unpickler(file, storage).load()
        for key in _Unpickler(file).load():  # the storages follow the pickle, in this order
            whole = flat[key]
            data = file.read(8 + whole.nbytes)
            if len(data) != 8 + whole.nbytes or int.from_bytes(data[:8], "little") != whole.numel():
                raise EOFError("it ends within its tensors")
            if whole.numel():
                whole.copy_(torch.frombuffer(bytearray(data[8:]), dtype=whole.dtype))
    return values


def read_tensors_only(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote; nothing in the file is imported or called.

    Args:
        path: A state dict, or a dictionary that holds one under "state_dict" (Lightning) or "model_state_dict".

    Returns:
        Name -> tensor on the CPU; entries that are no tensors are left out.

    Raises:
        UserError: The file is missing, truncated, damaged, of another format, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: is missing")
    try:
        values = _load_zip(path) if zipfile.is_zipfile(path) else _load_stream(path)
    except Exception as error:  # a damaged or hostile pickle can end in any of them
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: is no file of tensors alone that can be read, or it is damaged ({reason})") from error
    state = values.get("state_dict", values.get("model_state_dict", values)) if isinstance(values, dict) else values
    entries = state.items() if isinstance(state, dict) else ()
    tensors = {name: tensor for name, tensor in entries if isinstance(name, str) and isinstance(tensor, Tensor)}
    if not tensors:
        raise UserError(f"{path}: holds no state dict")
    return tensors
