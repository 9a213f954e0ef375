"""The documentation builds without a warning and its code blocks run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"^```(python|bash)( [^\n]*)?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The page's blocks that run: language and text. ```` ```bash no-run ```` marks what a test cannot do."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, mark, text in found if "no-run" not in mark]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path) -> None:
    """All Python blocks of a page share one namespace, in order, with the page's shell blocks between them."""
    script = ["import subprocess"]
    for language, text in blocks(page):
        if language == "python":
            script.append(text)
        else:
            script.append(f"subprocess.run(['bash', '-euo', 'pipefail', '-c', {text!r}], check=True)")
    (tmp_path / "page.py").write_text("\n".join(script), encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"SEQSUITE_CACHE": str(tmp_path / "cache"), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_the_documentation_builds_without_warnings(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(ROOT / "docs"),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()
