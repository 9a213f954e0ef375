"""timm's own tests on our tiny models: they come with its source distribution, which `make venv` unpacks.

Taken are all tests of timm's `test_models.py` that it parametrises over the registry, and those with a fixed
list of names that say something about ours (`more_names.py`). Left out are the TorchScript ones, two a model:
our operators and mixers do not script.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import timm

HERE = Path(__file__).parent
OVER_THE_REGISTRY = 27
"""Nine tests of timm 1.0.31 on three models; a later timm may have more."""
BY_NAME = 26
"""The tests of more_names.py."""


@pytest.fixture
def timms_tests() -> Path:
    folder = Path(sys.prefix) / "timm-tests" / timm.__version__ / "tests"
    assert (folder / "test_models.py").is_file(), f"timm {timm.__version__}'s tests are not in {folder}: `make venv`"
    return folder


def test_timms_tests_pass_on_our_models(timms_tests, tmp_path):
    files = [str(timms_tests / "test_models.py"), str(HERE / "more_names.py")]
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "our_names", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-c", str(HERE / "timm_suite.ini"), "--rootdir", os.path.commonpath(files), "--junit-xml", str(report)]
    command += ["-k", "(test_mamba_nd or test_simba) and not torchscript"]
    command += files
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    incomplete = [case.get("name") for case in cases if len(case)]  # a child element: failed, broken or skipped
    assert not incomplete
    by_name = [case for case in cases if case.get("classname", "").endswith("more_names")]
    assert len(by_name) == BY_NAME
    assert len(cases) - len(by_name) >= OVER_THE_REGISTRY
