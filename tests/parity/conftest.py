"""Collects reference cases: see `seqsuite.testing.parity` for what a case and an adapter are."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from seqsuite.testing.parity import ADAPTERS, find_cases

HERE = Path(__file__).parent
SHIPPED = HERE / "cases"


def _load_adapters() -> None:
    for path in sorted((HERE / "adapters").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"parity_adapter_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_load_adapters()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cases",
        action="append",
        default=None,
        metavar="DIR",
        help="reference cases below this folder (repeatable); a case without an adapter fails",
    )


def _system(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text())["system"]


def _given(config: pytest.Config) -> list[Path] | None:
    folders = config.getoption("cases", default=None)
    return None if folders is None else [Path(folder) for folder in folders]


def _found(config: pytest.Config) -> list[Path]:
    """Return all case folders of this run, one a name where shipped copies and originals meet."""
    given = _given(config)
    if given is not None:
        return find_cases(given)
    shared = config.rootpath.parent / "shared" / "parity"
    return list({(path.parent.name, path.name): path for path in find_cases([shared, SHIPPED])}.values())


def pytest_configure(config: pytest.Config) -> None:
    given = _given(config)
    if given is not None and not find_cases(given):
        raise pytest.UsageError(f"--cases: no case (a folder with config.json) below {', '.join(map(str, given))}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case_folder" not in metafunc.fixturenames:
        return
    folders = _found(metafunc.config)
    if _given(metafunc.config) is None:
        folders = [folder for folder in folders if _system(folder) in ADAPTERS]
    metafunc.parametrize("case_folder", folders, ids=[f"{folder.parent.name}/{folder.name}" for folder in folders])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _given(config) is None:
        without = sorted({_system(folder) for folder in _found(config)} - set(ADAPTERS))
        if without:
            terminalreporter.write_line(f"reference systems without an adapter yet: {', '.join(without)}")
