"""Shared test configuration: where the real data lies, and one thread a test process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Take Ctrl-C as on a terminal: a job in the background of a script inherits that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that are not part of the project (`SEQSUITE_DATA`)."""
    folder = Path(os.environ.get("SEQSUITE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real data sets are not here: set SEQSUITE_DATA to their folder")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep token caches of the tests out of the user's cache folder."""
    os.environ["SEQSUITE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
