"""Kill a training command at random moments (SIGKILL), resume it, compare the final weights bit for bit.

    python benchmarks/resume.py                                   # the toy run
    python benchmarks/resume.py --kills 20 --workers 0 2 --name resume_pretrain \
        --command "seqdna pretrain --steps 60 --out {out} --workers {workers} {resume}"

The command is run once unbroken. For every kill point it is started anew, killed, and started again
with --resume; `--kills_per_run 20` kills one run twenty times instead, which costs one run only.
Moments are uniform over the life of the unbroken process, start-up included for every fourth, from the
first metrics on for the others. Every other kill takes the main process alone, the rest its group.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _machine import write_result

TOY = f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('toy_training.py')))}"
TOY += " --out {out} --workers {workers} --nap 60 {resume}"


class Command:
    """A training command with the places {out}, {workers} and {resume}."""

    def __init__(self, template: str, out: Path, workers: int) -> None:
        self.template, self.out, self.workers = template, out, workers

    def start(self, *, resume: bool) -> subprocess.Popen[bytes]:
        line = self.template.format(
            out=shlex.quote(str(self.out)), workers=self.workers, resume="--resume" if resume else ""
        )
        log = open(self.out.with_suffix(".log"), "ab")  # noqa: SIM115 - it lives as long as the process
        return subprocess.Popen(shlex.split(line), stdout=log, stderr=log, start_new_session=True)

    def finish(self, *, resume: bool) -> float:
        """Run to the end; return the seconds it took."""
        began = time.monotonic()
        process = self.start(resume=resume)
        if process.wait():
            tail = self.out.with_suffix(".log").read_text(errors="replace")[-2000:]
            raise SystemExit(f"the command failed with {process.returncode}:\n{tail}")
        return time.monotonic() - began

    def weights(self) -> str:
        """SHA-256 over the exported weights."""
        files = sorted((self.out / "model").rglob("*.safetensors"))
        if not files:
            raise SystemExit(f"{self.out / 'model'} holds no weights")
        total = hashlib.sha256()
        for file in files:
            total.update(file.read_bytes())
        return total.hexdigest()

    def newest_step(self) -> int:
        steps = [int(path.stem[5:]) for path in (self.out / "checkpoints").glob("step-*.ckpt")]
        return max(steps, default=0)


def wait_for_start(command: Command, process: subprocess.Popen[bytes], resumed: bool) -> None:
    """Wait until this start of the run has written its metrics file."""
    metrics = command.out / "metrics.csv"
    before = metrics.stat().st_mtime_ns if resumed and metrics.exists() else 0
    while process.poll() is None:
        try:
            if metrics.stat().st_mtime_ns > before:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.002)


def kill_once(
    command: Command, number: int, rng: random.Random, life: dict[str, float], resume: bool
) -> dict[str, Any]:
    """Start the command and kill it at a random moment; a run that ended before is told as such."""
    during_startup = number % 4 == 3
    process = command.start(resume=resume)
    if not during_startup:
        wait_for_start(command, process, resume)
    delay = rng.uniform(0, life["startup"] if during_startup else life["training"])
    time.sleep(delay)
    ended = process.poll() is not None
    if not ended:
        if number % 2:
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return {
        "moment": "start-up" if during_startup else "training",
        "delay": round(delay, 3),
        "killed": "process" if number % 2 else "group",
        "ended_before": ended,
        "newest_checkpoint": command.newest_step(),
        "log_tail": command.out.with_suffix(".log").read_text(errors="replace").splitlines()[-1:],
    }


def measure_life(command: Command) -> dict[str, float]:
    """Run the command unbroken; return the seconds of its start-up and of its training."""
    began = time.monotonic()
    process = command.start(resume=False)
    wait_for_start(command, process, resumed=False)
    startup = time.monotonic() - began
    while process.poll() is None and not (command.out / "model").exists():
        time.sleep(0.005)
    training = time.monotonic() - began - startup
    if process.wait():
        raise SystemExit(f"the unbroken run failed: {command.out.with_suffix('.log').read_text()[-2000:]}")
    return {"startup": startup, "training": training}


def one_run(command: Command, numbers: list[int], rng: random.Random, life: dict[str, float], wanted: str) -> Any:
    """Kill one run at the given points, finish it, compare."""
    kills = []
    for number in numbers:
        for _attempt in range(5):
            # Killed before it could claim its folder, there is no run to resume yet.
            kill = kill_once(command, number, rng, life, resume=(command.out / "config.yaml").exists())
            if not kill["ended_before"] or len(numbers) > 1:
                break
            shutil.rmtree(command.out)  # it was faster than the unbroken run: another moment
        kills.append(kill)
    command.finish(resume=(command.out / "config.yaml").exists())
    same = command.weights() == wanted
    for kill in kills:
        print(f"  kill {kill}  {'same' if same else 'DIFFERENT'}", flush=True)
    return {"same_weights": same, "kills": kills}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=TOY, help="template with {out}, {workers} and {resume}")
    parser.add_argument("--kills", type=int, default=20, help="kill points for each number of workers")
    parser.add_argument("--kills_per_run", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="resume", help="name of the result file")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="resume-"))
    runs, digests = [], {}
    try:
        for workers in options.workers:
            whole = Command(options.command, folder / f"whole-{workers}", workers)
            life = measure_life(whole)
            digests[workers] = whole.weights()
            print(f"workers {workers}: unbroken {life}, weights {digests[workers][:16]}", flush=True)
            for first in range(0, options.kills, options.kills_per_run):
                command = Command(options.command, folder / f"run-{workers}-{first}", workers)
                numbers = list(range(first, min(first + options.kills_per_run, options.kills)))
                runs.append({"workers": workers, **one_run(command, numbers, rng, life, digests[workers])})
                shutil.rmtree(command.out, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    landed = [kill for run in runs for kill in run["kills"] if not kill["ended_before"]]
    summary = {
        "what": "SIGKILL at random moments, resume, SHA-256 of the exported weights against the unbroken run",
        "command": options.command.replace(sys.executable, "python").replace(str(Path(__file__).parent) + "/", ""),
        "kills": len(landed),
        "runs": len(runs),
        "runs_with_same_weights": sum(run["same_weights"] for run in runs),
        "same_weights_for_all_workers": len(set(digests.values())) == 1,
        "results": runs,
    }
    path = write_result(options.name, summary)
    print(f"{summary['runs_with_same_weights']} of {len(runs)} runs with the same weights; written to {path}")
    sys.exit(0 if summary["runs_with_same_weights"] == len(runs) else 1)


if __name__ == "__main__":
    main()
