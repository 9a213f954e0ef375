"""Pickled checkpoints: their tensors are read, nothing that they name is imported or called."""

from __future__ import annotations

import collections
import functools
import importlib
import io
import os
import pickle
import subprocess
import sys
import types
import warnings
import zipfile
from argparse import Namespace

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.models.published import read_published
from seqsuite.models.tensors_only import read_tensors_only

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])


def tensors() -> dict[str, torch.Tensor]:
    """Every element type, views, shared storage, empty and scalar tensors, a parameter."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(6, 5, generator=generator)
    plain = {
        str(dtype): (torch.rand(3, 2, generator=generator) * 2).to(dtype)
        for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.bool)
    }
    views = {"whole": whole, "row": whole[2], "turned": whole.t(), "part": whole[1:4, ::2], "again": whole}
    odd = {"scalar": torch.tensor(3.5), "empty": torch.empty(0, 4), "complex": torch.tensor([1 + 2j])}
    return plain | views | odd | {"parameter": torch.nn.Parameter(torch.ones(2, 3))}


class Executes:
    """Pickles itself as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor.detach()), name
        assert not isinstance(got[name], torch.nn.Parameter)


@FORMATS
def test_tensors_come_back_as_torch_would_give_them(tmp_path, zipped):
    torch.save(tensors(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    expected = torch.load(tmp_path / "a.pt", weights_only=True)
    assert_same(read_tensors_only(tmp_path / "a.pt"), expected)
    unsigned = {"u": torch.arange(5).to(torch.uint16)}
    torch.save(unsigned, tmp_path / "b.pt", _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors_only(tmp_path / "b.pt"), unsigned)


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(tmp_path, zipped, protocol):
    state = collections.OrderedDict(tensors())
    state._metadata = {"": {"version": 1}}
    content = {"state_dict": state}
    torch.save(content, tmp_path / "a.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors_only(tmp_path / "a.ckpt"), dict(state))


@FORMATS
def test_a_module_s_state_dict_is_read(tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save(module.state_dict(), tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors_only(tmp_path / "a.bin"), module.state_dict())


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_a_checkpoint_would_execute_stays_inert(tmp_path, zipped, protocol):
    traps = [tmp_path / f"trap{number}" for number in range(9)]
    hostile = [
        Executes(os.system, f"touch {traps[0]}"),
        Executes(open, str(traps[1]), "w"),
        Executes(eval, f"open({str(traps[2])!r}, 'w')"),
        Executes(exec, f"open({str(traps[3])!r}, 'w')"),
        Executes(subprocess.call, ["touch", str(traps[4])]),
        Executes(importlib.import_module, "this_is_imported"),
        Executes(functools.partial, os.mkdir, str(traps[5])),
        Executes(getattr, Executes(importlib.import_module, "os"), "getcwd"),
        Executes(map, Executes(getattr, Executes(importlib.import_module, "os"), "mkdir"), [str(traps[6])]),
        Executes(torch.load, str(tmp_path / "other.pt")),
        Executes(Executes, Executes(os.mkdir, str(traps[7]))),
        functools.partial(os.mkdir, str(traps[8])),
    ]
    content = {"hyper_parameters": hostile, "callbacks": {"a": hostile[1]}}
    content["state_dict"] = tensors() | {"not a tensor": hostile[0]}
    torch.save(content, tmp_path / "a.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    (tmp_path / "this_is_imported.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    sys.path.insert(0, str(tmp_path))
    try:
        assert_same(read_tensors_only(tmp_path / "a.ckpt"), tensors())
    finally:
        sys.path.remove(str(tmp_path))
    assert not any(trap.exists() for trap in traps)
    assert not (tmp_path / "imported").exists()
    assert "this_is_imported" not in sys.modules


def test_the_traps_above_do_snap(tmp_path):
    """The same objects under the ordinary reader: the file appears, so that its absence above means something."""
    trap = tmp_path / "trap"
    torch.save({"state_dict": {}, "x": Executes(os.system, f"touch {trap}")}, tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert trap.exists()


@FORMATS
def test_a_trainer_s_checkpoint_with_classes_that_are_not_installed(tmp_path, zipped):
    """Lightning's layout, with a configuration object whose package is gone when it is read."""
    module = types.ModuleType("foreign_config")

    class DictConfig(dict):
        """Pickles as a class with state and items, as configuration containers do."""

        def __reduce__(self):
            return (DictConfig, ({},), {"_metadata": Namespace(a=1), "_parent": None}, iter([1, 2]), iter(self.items()))

    DictConfig.__module__, DictConfig.__qualname__ = "foreign_config", "DictConfig"
    DictConfig.append = lambda self, item: None
    module.DictConfig = DictConfig
    sys.modules["foreign_config"] = module
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "1.8.6",
        "state_dict": collections.OrderedDict({f"model.{name}": tensor for name, tensor in tensors().items()}),
        "hyper_parameters": DictConfig(lr=0.1, model=DictConfig(d=2)),
        "loops": collections.defaultdict(dict, {"fit": Namespace(steps={1, 2}, where=frozenset({"a"}))}),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "count": collections.Counter("aab")}],
    }
    try:
        torch.save(content, tmp_path / "weights.ckpt", _use_new_zipfile_serialization=zipped)
    finally:
        del sys.modules["foreign_config"]
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "weights.ckpt", weights_only=True)
    expected = {f"model.{name}": tensor for name, tensor in tensors().items()}
    assert_same(read_tensors_only(tmp_path / "weights.ckpt"), expected)
    raw, state = read_published(tmp_path, config={"d_model": 2})
    assert raw == {"d_model": 2}
    assert_same(state, expected)


@FORMATS
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_a_truncated_file_is_one_line(tmp_path, zipped, share):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"w": torch.randn(300, 7)}}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"a\.ckpt: .*damaged") as caught:
        read_tensors_only(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"w": torch.zeros(5000)}, path)
    with zipfile.ZipFile(path) as archive:
        (record,) = [info for info in archive.infolist() if info.filename.endswith("data/0")]
    data = bytearray(path.read_bytes())
    data[record.header_offset + 4000] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"damaged .*CRC"):
        read_tensors_only(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text", b"hello"),
        ("empty", b""),
        ("noise", bytes(range(256)) * 9),
        ("pickle", pickle.dumps({"w": 1})),
        ("number", pickle.dumps(3)),
    ],
)
def test_other_files_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: is no file of tensors alone") as caught:
        read_tensors_only(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_zip_of_something_else_and_a_script_module_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(UserError, match=r"a zip archive that torch\.save did not write"):
        read_tensors_only(tmp_path / "a.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out; its files are not
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "b.pt")
    with pytest.raises(UserError, match=r"b\.pt: "):
        read_tensors_only(tmp_path / "b.pt")


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.ones(2)], torch.ones(3), {"state_dict": [1]}, {}])
def test_a_file_without_a_state_dict_says_so(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        read_tensors_only(tmp_path / "a.pt")
    with pytest.raises(UserError, match="is missing"):
        read_tensors_only(tmp_path / "b.pt")


def rewritten(path, program: bytes) -> None:
    """Replace the pickle of a zip archive of torch.save."""
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, program if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((1000,), (1,), 0), ((2,), (1,), 3), ((2,), (-1,), 1), ((-2,), (1,), 0), ((1,), (1,), -1), ((1,), (1,), 4)],
)
def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path, size, stride, offset):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(4.0)}, path)

    class Tensor:
        def __reduce__(self):
            storage = Persistent(("storage", torch.FloatStorage, "0", "cpu", 4))
            return (torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, {}))

    class Persistent(tuple):
        def __new__(cls, values):
            return super().__new__(cls, (values,))

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value[0] if isinstance(value, Persistent) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"w": Tensor()})
    rewritten(path, buffer.getvalue())
    with pytest.raises(UserError, match=r"larger than its storage|negative size or stride"):
        read_tensors_only(path)


def test_a_pickle_cannot_change_the_reader(tmp_path):
    """BUILD on a function that the reader offers would change it for every later file."""
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(4.0)}, path)
    good = path.read_bytes()
    rewritten(path, b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.")
    with pytest.raises(UserError, match="tries to change a function"):
        read_tensors_only(path)
    path.write_bytes(good)
    assert_same(read_tensors_only(path), {"w": torch.arange(4.0)})
