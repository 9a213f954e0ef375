"""Run a `seqdna pretrain` config and keep its summary beside the machine's facts.

    python benchmarks/pretrain.py examples/genomics/demo.yaml             # what `make demo` runs
    python benchmarks/pretrain.py examples/genomics/long.yaml             # the longer run
    python benchmarks/pretrain.py examples/genomics/long.yaml --done runs/long   # a run that is there already

The run's own wall time includes opening the genome, training, measuring and the count models, not the
start of Python.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from _machine import write_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--done", type=Path, help="folder of a finished run of this config")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, wall = arguments.done, None
        if folder is None:
            folder = Path(scratch) / "run"
            began = time.monotonic()
            program = str(Path(sys.executable).with_name("seqdna"))
            subprocess.run([program, "pretrain", "--config", str(arguments.config), "--out", str(folder)], check=True)
            wall = time.monotonic() - began
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    config = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    result = {"config": config, "wall_seconds_with_start": wall, "summary": summary}
    print(write_result(f"pretrain_{arguments.config.stem}", result))


if __name__ == "__main__":
    main()
