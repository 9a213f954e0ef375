"""Plugins: discovery by entry point, an outside plugin, broken plugins, the skeleton."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqsuite import plugins
from seqsuite.cli import main
from seqsuite.errors import UnknownNameError

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "seqtoy"


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a package into a folder of its own; return the environment that sees it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(target), "PATH": f"{target / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def python(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def toy_environment(tmp_path_factory) -> dict[str, str]:
    source = tmp_path_factory.mktemp("source") / "seqtoy"
    subprocess.run(["cp", "-r", str(FIXTURE), str(source)], check=True)
    return install(source, tmp_path_factory.mktemp("site"))


def test_the_suites_own_packages_are_found() -> None:
    found = plugins.discover()
    assert next(iter(found)) == "seqsuite"
    assert set(found) >= {"seqsuite", "seqdna", "seqaudio", "seqvision", "seqrl", "seqchem"}
    assert plugins.broken() == ()


def test_an_outside_plugin_is_found_created_and_run(toy_environment) -> None:
    code = """
import seqsuite, seqsuite.plugins as p, torch
assert p.discover()["seqtoy"].version == "3.1.4"
model = seqsuite.create_model("toy_debug", n_layer=2)
assert model(torch.zeros(1, 5, dtype=torch.long)).shape[:2] == (1, 5)
mixer = seqsuite.create_mixer("running_mean", d_model=3)
assert mixer(torch.ones(1, 4, 3)).eq(1).all()
from seqsuite.testing import check_plugin
check_plugin(p.discover()["seqtoy"])
"""
    python(code, toy_environment)
    count = subprocess.run(["seqtoy", "count", "--twice"], capture_output=True, text=True, env=toy_environment)
    assert count.stdout == "8\n", count.stderr
    wrong = subprocess.run(["seqtoy", "count", "--letters", ""], capture_output=True, text=True, env=toy_environment)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_check_plugin_finds_a_bad_table(toy_environment) -> None:
    code = """
import dataclasses, seqsuite.plugins as p
from seqsuite.testing import check_plugin
toy = p.discover()["seqtoy"]
for bad in (
    dataclasses.replace(toy, models={"toy_debug": "seqtoy.configs:nothing"}),
    dataclasses.replace(toy, models={"toy debug": "seqtoy.configs:toy_debug"}),
    dataclasses.replace(toy, commands={"count": "seqtoy.cli:CountConfig"}),
    dataclasses.replace(toy, name="stranger"),
    dataclasses.replace(toy, version=""),
):
    try:
        check_plugin(bad)
    except (AssertionError, AttributeError, ValueError):
        continue
    raise SystemExit(f"passed: {bad}")
"""
    python(code, toy_environment)


def announce(folder: Path, name: str, target: str, code: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[seqsuite.plugins]\n{name} = {target}\n")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A folder for announced packages, on the import path; discovery is repeated around the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.refresh()
    yield tmp_path
    plugins.refresh()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_package_anywhere", "ModuleNotFoundError"),
        ("plugin = 3", "TypeError: is a int, not a seqsuite.plugins.Plugin"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("from seqsuite.plugins import Plugin\nplugin = Plugin(name='seqdna', version='1')", "calls itself 'seqdna'"),
    ],
)
def test_a_broken_plugin_is_reported_and_breaks_nothing(fresh, capsys, code, reason) -> None:
    name = f"broken_{abs(hash(code))}"
    announce(fresh, name, f"{name}:plugin", code)
    plugins.refresh()
    (found,) = plugins.broken()
    assert found.name == name
    assert reason in found.reason
    assert "seqdna" in plugins.discover()
    assert main(["plugins"]) == 0
    assert f"broken: {name}" in capsys.readouterr().out
    assert main(["plugins", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["broken"][0]["name"] == name


def test_unknown_names_suggest_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mamba'"):
        plugins.lookup("mixers", "mambo")
    with pytest.raises(UnknownNameError, match="kind of table"):
        plugins.lookup("sandwiches", "x")


def test_models_are_listed_with_wildcards(capsys) -> None:
    assert main(["models", "--pattern", "caduceus*", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["plugin"] for entry in listed} == {"seqdna"}
    assert all(entry["model"].startswith("caduceus") and entry["d_model"] > 0 for entry in listed)
    assert main(["models", "--pattern", "caduceos"]) == 2
    assert "Did you mean 'caduceus" in capsys.readouterr().err


def test_the_skeleton_of_a_new_plugin_works(tmp_path, capsys) -> None:
    folder = tmp_path / "plugins" / "seqtext"
    assert main(["new-plugin", "text", "--folder", str(folder)]) == 0
    environment = install(folder, tmp_path / "site")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(tests, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout
    (tmp_path / "a.txt").write_bytes(bytes(range(256)))
    stats = ["seqtext", "stats", str(tmp_path / "a.txt"), "--json"]
    told = subprocess.run(stats, capture_output=True, text=True, env=environment, check=True)
    assert json.loads(told.stdout) == {"bytes": 256, "bits_per_byte": 8.0}
    assert main(["new-plugin", "text", "--folder", str(folder)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["new-plugin", "Some Text"]) == 2
    assert "lower-case word" in capsys.readouterr().err
