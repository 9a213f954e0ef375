"""Files of vectors: the same content in every format, whole or not there, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from seqdna.embedding import Embeddings, Piece, check_output, formats, open_writer
from seqsuite.errors import UserError

ENDINGS = [".npz", ".parquet", ".zarr"]
DRAWS = np.random.default_rng(0)
POOLED = Embeddings(
    ("a", "b", "b"), DRAWS.normal(size=(3, 5)).astype(np.float32), (0, 0, 4), (9, 8, 12), "mean", 1, "both"
)
EVERY = Embeddings(
    ("a", "ü", "c"), [DRAWS.normal(size=(n, 5)).astype(np.float32) for n in (7, 1, 30)], (0, 5, 2), (7, 6, 32), "none"
)


def read(path) -> dict:
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file} | json.loads(str(file["settings"]))
    if path.suffix == ".zarr":
        import zarr

        group = zarr.open_group(str(path), mode="r")
        return {name: array[:] for name, array in group.arrays()} | dict(group.attrs)
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    content = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    return content | json.loads(table.schema.metadata[b"seqdna"])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("buffer", [1, 60, 8 << 20])
def test_pooled_vectors_come_back(tmp_path, monkeypatch, ending, buffer) -> None:
    monkeypatch.setattr(formats, "_BUFFERED_BYTES", buffer)
    content = read(POOLED.save(tmp_path / f"v{ending}"))
    singular = ending == ".parquet"
    np.testing.assert_array_equal(content["vector" if singular else "vectors"], POOLED.vectors)
    assert content["name" if singular else "names"].tolist() == ["a", "b", "b"]
    assert content["start" if singular else "starts"].tolist() == [0, 0, 4]
    assert content["end" if singular else "ends"].tolist() == [9, 8, 12]
    assert (content["pool"], content["layer"], content["strands"]) == ("mean", 1, "both")
    assert [path.name for path in tmp_path.iterdir()] == [f"v{ending}"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("buffer", [1, 60, 8 << 20])
def test_vectors_of_every_base_come_back(tmp_path, monkeypatch, ending, buffer) -> None:
    monkeypatch.setattr(formats, "_BUFFERED_BYTES", buffer)
    content = read(EVERY.save(tmp_path / f"v{ending}"))
    if ending == ".parquet":
        np.testing.assert_array_equal(content["vector"], np.concatenate(EVERY.vectors))
        assert content["name"].tolist() == ["a"] * 7 + ["ü"] + ["c"] * 30
        assert content["position"].tolist() == [*range(7), 5, *range(2, 32)]
        return
    np.testing.assert_array_equal(content["vectors"], np.concatenate(EVERY.vectors))
    assert content["names"].tolist() == ["a", "ü", "c"]
    assert content["lengths"].tolist() == [7, 1, 30]


def test_the_other_strand_s_positions_run_downwards(tmp_path) -> None:
    target = check_output(tmp_path / "v.parquet")
    with open_writer(target, width=2, every_base=True, settings={}) as writer:
        writer.add(Piece(0, "x", 10, 14, np.zeros(4, np.uint8), (1, 4), "-"), np.zeros((3, 2)))
    assert read(target)["position"].tolist() == [12, 11, 10]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path, ending) -> None:
    target = POOLED.save(tmp_path / f"v{ending}")
    piece = Piece(0, "x", 0, 4, np.zeros(4, np.uint8), (0, 4))
    writer = open_writer(check_output(target, overwrite=True), width=5, every_base=False, settings={})

    def fail() -> None:
        with writer:
            writer.add(piece, np.zeros(5))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    content = read(target)
    np.testing.assert_array_equal(content["vector" if ending == ".parquet" else "vectors"], POOLED.vectors)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_existing_output_is_replaced_only_when_asked(tmp_path, ending) -> None:
    target = EVERY.save(tmp_path / f"v{ending}")
    with pytest.raises(UserError, match="exists; add --overwrite"):
        check_output(target)
    POOLED.save(target)
    assert len(read(target)["vector" if ending == ".parquet" else "vectors"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, ending) -> None:
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.WRITERS[ending], "_write", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left"):
        POOLED.save(tmp_path / f"v{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ending", "package"), [(".parquet", "pyarrow"), (".zarr", "zarr")])
def test_a_missing_package_says_how_to_get_it(tmp_path, monkeypatch, ending, package) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"pip install {package}"):
        check_output(tmp_path / f"v{ending}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v.npy", "'.npy' is no known format.*'.npz'"),
        ("v", "'' is no known format"),
        ("no/v.npz", "there is no folder"),
    ],
)
def test_outputs_that_cannot_be(tmp_path, name, message) -> None:
    with pytest.raises(UserError, match=message):
        check_output(tmp_path / name)


MEASURE = """
import resource, sys, torch, seqsuite
from seqdna.cli import main
torch.set_num_threads(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
folder, short, long, out = sys.argv[1:5]
options = ["--window", "16384", "--batch_tokens", "16384", "--pool", "none", "--layer", "0"]
assert main(["embed", folder, short, "--out", f"{out}/short.npz", *options]) == 0
before = peak()
assert main(["embed", folder, long, "--out", f"{out}/long.npz", *options]) == 0
print(peak() - before)
"""


def test_a_long_record_runs_in_bounded_memory(tmp_path) -> None:
    """Ten times the record, 48 MB more of output: the peak grows by the letters and ids at most."""
    import torch

    import seqsuite

    torch.manual_seed(0)
    model = tmp_path / "model"
    seqsuite.create_model("mamba_dna_debug", d_model=4, n_layer=1, mixer_options={"d_state": 1}).save_pretrained(model)
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)[DRAWS.integers(0, 4, 3_300_000)].tobytes().decode()
    files = []
    for length in (300_000, 3_300_000):
        files.append(tmp_path / f"{length}.fa")
        text = bases[:length]
        files[-1].write_text(">x\n" + "\n".join(text[i : i + 80] for i in range(0, length, 80)) + "\n")
    command = [sys.executable, "-c", MEASURE, str(model), *map(str, files), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "long.npz") as saved:
        assert saved["vectors"].shape == (3_300_000, 4)
    grown = float(done.stdout.split()[-1])
    assert grown < 30, f"{grown:.0f} MiB"


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".zarr"])
def test_a_folder_of_something_else_is_not_replaced(tmp_path, ending) -> None:
    target = tmp_path / f"mine{ending}"
    target.mkdir()
    (target / "precious").write_text("x")
    with pytest.raises(UserError, match="a folder of something else"):
        check_output(target, overwrite=True)
    assert (target / "precious").read_text() == "x"
