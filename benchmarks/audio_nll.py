"""Bits per sample of held-out sound: SaShiMi beside a WaveNet-like TCN and the simple codes.

    python benchmarks/audio_nll.py
    python benchmarks/audio_nll.py --sets music --minutes 30
    python benchmarks/audio_nll.py --sets tracks --tracks /usr/share/asterisk/moh

Sets: speech (one voice; whole files held out at random, 66 s of them), music (30 s cuts of five tracks of three
authors; one for validation, one for the test) and tracks (the same cuts held out; to train on, the other three tracks
at their full length, 506 s, from Debian's package asterisk-moh-opsound-g722). The TCN has as many parameters
as the SaShiMi and as much training time: its rate is measured first, and it takes as many steps as fit into SaShiMi's
seconds.

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

SETS = ("speech", "music", "tracks")
BATCH, LENGTH = 4, 8000
STEPS = {"speech": 2000, "music": 2000, "tracks": 4000}
PROBE_STEPS = 20
MUSIC = {"valid": "macroform-the_simplicity.flac", "test": "reno_project-system.flac"}
MODELS: dict[str, dict[str, Any]] = {
    "sashimi": {"model_options": {"d_model": 32, "n_layer": 4, "mixer": "s4d", "mixer_options": {}}, "lr": 4e-3},
    "tcn": {"model_options": {"d_model": 52, "n_layer": 7}, "lr": 2e-3},
}


def whole_tracks(folder: Path, work: Path) -> list[Path]:
    """Decode the G.722 files of a folder to FLAC under `work`, but for the tracks that are held out."""
    import av
    import numpy as np
    import soundfile

    found = [path for path in sorted(folder.glob("*.g722")) if f"{path.stem}.flac" not in MUSIC.values()]
    if not found:
        raise SystemExit(f"{folder}: holds no .g722 files; install asterisk-moh-opsound-g722, or give --tracks")
    decoded = []
    for path in found:
        decoded.append(work / "tracks" / f"{path.stem}.flac")
        if not decoded[-1].exists():
            decoded[-1].parent.mkdir(exist_ok=True)
            with av.open(str(path), format="g722") as container:
                frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
            soundfile.write(decoded[-1], np.concatenate(frames), 16000)
    return decoded


def music_manifests(cuts: Path, work: Path, tracks: Path | None = None) -> dict[str, str]:
    """Write one manifest a part, of absolute names, under `work`; return the options that name them.

    Args:
        cuts: The folder of the cuts.
        work: Where the manifests go.
        tracks: The folder of the whole tracks, where those are to be trained on.
    """
    parts: dict[str, list[Path]] = {"source": [], "valid": [], "test": []}
    for file in sorted(cuts.glob("*.flac")):
        part = next((part for part, name in MUSIC.items() if file.name == name), "source")
        parts[part].append(file.resolve())
    if tracks is not None:
        parts["source"] = [file.resolve() for file in whole_tracks(tracks, work)]
    options = {}
    for part, files in parts.items():
        path = work / f"{'music' if tracks is None else 'tracks'}_{part}.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file"])
            writer.writerows([str(file)] for file in files)
        options[part] = str(path)
    return options


def sound_of(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that say what a set trains on and is measured on."""
    if name == "music":
        return music_manifests(arguments.data / "music_16khz", arguments.work)
    if name == "tracks":
        return music_manifests(arguments.data / "music_16khz", arguments.work, arguments.tracks)
    return {"source": str(arguments.data / "speech_prompts_16khz"), "valid_fraction": 0.08, "test_fraction": 0.22}


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
    sound = sound_of(name, arguments)
    found[name] = {}
    ours = trained(sound, "sashimi", STEPS[name], arguments.work / f"{name}_sashimi", deadline)
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
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--tracks", type=Path, default=Path("/usr/share/asterisk/moh"), help="folder of the G.722 files"
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after this time; call again to go on")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    deadline, complete = Deadline(arguments.minutes), False
    found: dict[str, Any] = {}
    try:
        for name in arguments.sets:
            measure(name, arguments, deadline, found)
        complete = set(arguments.sets) == set(SETS)
    except OutOfTime:
        print("the time is over; call again to go on", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
    print(write_result("audio_nll", {"complete": complete, "sets": found}))


if __name__ == "__main__":
    main()
