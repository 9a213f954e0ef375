"""Bits per sample of held-out sound: SaShiMi beside a WaveNet-like TCN and the simple codes.

    python benchmarks/audio_nll.py
    python benchmarks/audio_nll.py --sets music --minutes 30

Sets: speech (one voice; whole files held out at random, 66 s of them) and music (five tracks of three authors; one
whole track for validation, one for the test). The TCN has as many parameters as the SaShiMi and as much training
time: its rate is measured first, and it takes as many steps as fit into the seconds that SaShiMi took.

Runs lie under --work and go on where they stopped: call it again after --minutes, Ctrl-C or a crash. What there is so
far is written as results/audio_nll-<date>.json with "complete": false. Run it with nothing else on its core: equal
time means equal seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _deadline import Deadline, OutOfTime
from _machine import write_result

BATCH, LENGTH = 4, 8000
STEPS = 2000
PROBE_STEPS = 20
MUSIC = {"valid": "macroform-the_simplicity.flac", "test": "reno_project-system.flac"}
MODELS: dict[str, dict[str, Any]] = {
    "sashimi": {"model_options": {"d_model": 32, "n_layer": 4, "mixer": "s4d", "mixer_options": {}}, "lr": 4e-3},
    "tcn": {"model_options": {"d_model": 52, "n_layer": 7}, "lr": 2e-3},
}


def music_manifests(folder: Path, work: Path) -> dict[str, str]:
    """Write one manifest a part, of absolute names, under `work`; return the options that name them."""
    parts: dict[str, list[Path]] = {"source": [], "valid": [], "test": []}
    for file in sorted(folder.glob("*.flac")):
        part = next((part for part, name in MUSIC.items() if file.name == name), "source")
        parts[part].append(file.resolve())
    options = {}
    for part, files in parts.items():
        path = work / f"music_{part}.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file"])
            writer.writerows([str(file)] for file in files)
        options[part] = str(path)
    return options


def sound_of(name: str, data: Path, work: Path) -> dict[str, Any]:
    """Return the options that say what a set trains on and is measured on."""
    if name == "music":
        return music_manifests(data / "music_16khz", work)
    return {"source": str(data / "speech_prompts_16khz"), "valid_fraction": 0.08, "test_fraction": 0.22}


def config_of(sound: dict[str, Any], model: str, steps: int, out: Path, minutes: float, **others: Any) -> Any:
    """Return the options of a run."""
    from seqaudio.configs.train import AudioTrainConfig
    from seqsuite.training import RunFolder

    return AudioTrainConfig(
        **sound,
        **MODELS[model],
        model=model,
        short="pad",
        length=LENGTH,
        batch_size=BATCH,
        steps=steps,
        validate_every=500,
        valid_windows=32,
        checkpoint_every=250,
        threads=1,
        log_every=50,
        max_minutes=minutes,
        resume=RunFolder(str(out)).holds_run,
        out=str(out),
        **({"test_seconds": 0} | others),
    )


def summary_of(folder: Path) -> dict[str, Any] | None:
    """Return what a finished run wrote of itself."""
    try:
        found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def trained(sound: dict[str, Any], model: str, steps: int, folder: Path, deadline: Deadline) -> dict[str, Any]:
    """Train a model and measure it, unless an earlier call did; return its summary.

    Raises:
        OutOfTime: It was stopped and goes on at the next call.
    """
    from seqaudio.training import train

    if summary_of(folder) is None and train(config_of(sound, model, steps, folder, deadline.left())) is None:
        raise OutOfTime
    summary = summary_of(folder)
    assert summary is not None
    return summary


def rate_of(sound: dict[str, Any], model: str, folder: Path, deadline: Deadline) -> float:
    """Return the samples a second at which a model trains, from a few steps of it."""
    from seqaudio.training import train

    deadline.left()
    kept = folder.with_name(f"{folder.name}.json")
    if not kept.exists():
        train(config_of(sound, model, PROBE_STEPS, folder, 0.0, test_seconds=1, baselines=False))
        summary = summary_of(folder)
        assert summary is not None
        kept.write_text(json.dumps({"samples_per_second": summary["samples_per_second"]}), encoding="utf-8")
    rate: float = json.loads(kept.read_text(encoding="utf-8"))["samples_per_second"]
    return rate


def figures_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what the result keeps of a run: no paths."""
    evaluation = summary["evaluation"]
    kept = ("bits_per_sample", "interval", "differences")
    return {
        "parameters": summary["parameters"],
        "steps": summary["steps"],
        "samples_per_second": summary["samples_per_second"],
        "training_seconds": summary["steps"] * BATCH * LENGTH / summary["samples_per_second"],
        **{name: evaluation[name] for name in kept},
        "baselines": {name: evaluation["baselines"][name] for name in ("bits_per_sample", "intervals", "samples")},
    }


def measure(name: str, arguments: argparse.Namespace, deadline: Deadline, found: dict[str, Any]) -> None:
    """Measure one set; what is done is in `found` when the time is over, too."""
    sound = sound_of(name, arguments.data, arguments.work)
    found[name] = {}
    ours = trained(sound, "sashimi", STEPS, arguments.work / f"{name}_sashimi", deadline)
    found[name]["sashimi"] = figures_of(ours)
    rate = rate_of(sound, "tcn", arguments.work / f"{name}_tcn_rate", deadline)
    steps = round(found[name]["sashimi"]["training_seconds"] * rate / (BATCH * LENGTH))
    chosen = arguments.work / f"{name}_tcn_steps.json"
    if not chosen.exists():
        chosen.write_text(json.dumps(steps), encoding="utf-8")
    steps = json.loads(chosen.read_text(encoding="utf-8"))
    found[name]["tcn"] = figures_of(trained(sound, "tcn", steps, arguments.work / f"{name}_tcn", deadline))


def main() -> None:
    """Measure what is missing and write the result."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SEQSUITE_DATA", beside)) / "audio")
    parser.add_argument("--work", type=Path, default=Path("runs/audio_nll"))
    parser.add_argument("--sets", nargs="+", choices=("speech", "music"), default=["speech", "music"])
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after this time; call again to go on")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    deadline, complete = Deadline(arguments.minutes), False
    found: dict[str, Any] = {}
    try:
        for name in arguments.sets:
            measure(name, arguments, deadline, found)
        complete = len(arguments.sets) == 2
    except OutOfTime:
        print("the time is over; call again to go on", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
    print(write_result("audio_nll", {"complete": complete, "sets": found}))


if __name__ == "__main__":
    main()
