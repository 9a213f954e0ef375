"""The six wheels build, install outside the checkout and work; their dependencies stay slim."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "seqsuite": "core",
    "seqdna": "plugins/genomics",
    "seqaudio": "plugins/audio",
    "seqvision": "plugins/vision",
    "seqrl": "plugins/rl",
    "seqchem": "plugins/chem",
}
SMOKE = """
import pathlib, sys, sysconfig
import seqsuite, seqsuite.plugins, seqdna, torch
site = sysconfig.get_paths()["purelib"]
found = seqsuite.plugins.discover()
assert set(found) >= {"seqsuite", "seqdna", "seqaudio", "seqvision", "seqrl", "seqchem"}, found
assert not seqsuite.plugins.broken()
for name in found:
    assert __import__(name).__file__.startswith(site), __import__(name).__file__
model = seqsuite.create_model("caduceus_ps_debug").eval()
from seqdna.tokenizers import NucleotideTokenizer
ids = torch.from_numpy(NucleotideTokenizer().encode("ACGTACGT")).long()[None]
assert torch.isfinite(model(ids)).all()
from seqdna.data import open_genome
assert open_genome("ecoli").length == 4639675
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    target = tmp_path_factory.mktemp("wheels")
    built = {}
    for name, folder in FOLDERS.items():
        # The backend is called directly: its own process would fetch what is installed already.
        code = f"import hatchling.build as b; print(b.build_wheel({str(target)!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        built[name] = target / done.stdout.split()[-1]
    return built


def test_wheels_carry_what_they_need(wheels) -> None:
    for name, wheel in wheels.items():
        files = set(zipfile.ZipFile(wheel).namelist())
        top = {file.partition("/")[0] for file in files}
        assert top == {name, f"{name}-0.1.0.dist-info"}, top
        assert f"{name}/py.typed" in files
        assert any(re.search(r"dist-info/licenses/.*LICENSE$", file) for file in files), name
    assert any(file.endswith(".fasta.gz") for file in zipfile.ZipFile(wheels["seqdna"]).namelist())
    assert any(file.endswith("plugin.py.in") for file in zipfile.ZipFile(wheels["seqsuite"]).namelist())


def test_wheels_install_and_work_outside_the_checkout(wheels, tmp_path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, *map(str, wheels.values())], check=True)
    # Third-party packages come from this environment; its editable installs do not, for they are
    # reached by .pth files, and those of a folder named in a .pth file are not read.
    (site / "third_party.pth").write_text(str(Path(metadata.distribution("torch").locate_file("")).resolve()) + "\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SEQ"))}
    environment |= {"SEQSUITE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([str(python), "-c", SMOKE], **run)
    assert done.returncode == 0, done.stderr
    for program in FOLDERS:
        done = subprocess.run([str(python.parent / program), "--help"], **run)
        assert done.returncode == 0, done.stderr
        assert f"usage: {program}" in done.stdout


def closure(name: str) -> set[str]:
    """All distributions that installing `name` brings, extras left out."""
    todo, seen = [name], set()
    while todo:
        current = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if current in seen:
            continue
        try:
            lines = metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            continue
        seen.add(current)
        wanted = [Requirement(line) for line in lines]
        todo += [entry.name for entry in wanted if entry.marker is None or entry.marker.evaluate({"extra": ""})]
    return seen


def test_dependencies_stay_with_their_domain() -> None:
    brought = {name: closure(name) for name in FOLDERS}
    assert "torch" in brought["seqdna"]
    foreign = {"timm", "rdkit", "torchaudio", "torchvision", "gymnasium", "scikit-learn"}
    assert not brought["seqsuite"] & foreign
    assert brought["seqdna"] & foreign == {"scikit-learn"}  # linear probes and simple models on labelled sets
    assert [name for name in FOLDERS if "torchaudio" in brought[name]] == ["seqaudio"]
    assert "torchaudio" not in (ROOT / "core/pyproject.toml").read_text()
