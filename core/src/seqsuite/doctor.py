"""What runs here and why: the facts behind `seqsuite doctor`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from seqsuite.errors import UserError

PACKAGES = (
    "seqsuite seqdna seqaudio seqvision seqrl seqchem torch triton torchaudio torchvision lightning numpy timm "
    "biopython pyfaidx gymnasium rdkit scikit-learn"
).split()


@dataclass(frozen=True)
class OperatorPath:
    """Which path an operator takes on a device, why the others were not taken, what is known of its GPU kernels."""

    operator: str
    device: str
    chosen: str
    why: str
    kernels: str


@dataclass(frozen=True)
class Examination:
    """The result of `examine`."""

    versions: Mapping[str, str]
    devices: Mapping[str, str]
    paths: tuple[OperatorPath, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def examine() -> Examination:
    """Look at this installation: versions, devices, operator paths, threads, bad combinations."""
    versions = installed()
    problems = bad_combinations(versions)
    return Examination(
        versions={"python": platform.python_version(), **versions},
        devices=_devices(),
        paths=_paths(problems),
        notes=tuple(_notes()),
        problems=tuple(problems),
    )


def installed() -> dict[str, str]:
    """Return the versions of the packages that matter, those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def bad_combinations(versions: Mapping[str, str]) -> list[str]:
    """Return one line for each known bad combination of versions.

    torchaudio follows torch's own minor number (2.11 with 2.11); torchvision's minor is torch's plus 15
    (0.26 with 2.11); triton must be the one that torch asks for.

    Args:
        versions: Package name -> version.
    """
    problems = []
    if "torch" not in versions:
        return ["torch is not installed; install the suite with its constraints file."]
    torch = _minor(versions["torch"])
    if "torchaudio" in versions and _minor(versions["torchaudio"]) != torch:
        problems.append(_mismatch(versions, "torchaudio", f"{torch[0]}.{torch[1]}.*"))
    if "torchvision" in versions and torch[0] == 2 and _minor(versions["torchvision"]) != (0, torch[1] + 15):
        problems.append(_mismatch(versions, "torchvision", f"0.{torch[1] + 15}.*"))
    wanted = _wanted_triton()
    if "triton" in versions and wanted and versions["triton"] != wanted:
        problems.append(_mismatch(versions, "triton", wanted))
    return problems


def _mismatch(versions: Mapping[str, str], name: str, wanted: str) -> str:
    return f"{name} {versions[name]} does not belong to torch {versions['torch']}: pip install '{name}=={wanted}'"


def _minor(version: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", version)[:2]
    return int(major), int(minor)


def _wanted_triton() -> str | None:
    for line in metadata.requires("torch") or []:
        match = re.match(r"triton==([\d.]+)", line)
        if match:
            return match[1]
    return None


def _devices() -> dict[str, str]:
    import torch

    found = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SEQSUITE_BACKEND", "TRITON_INTERPRET"):
        if name in os.environ:
            found[name] = os.environ[name]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if not torch.cuda.is_available():
        found["cuda"] = "none found (the suite runs on the CPU)"
    if torch.backends.mps.is_available():
        found["mps"] = "available"
    return found


def _notes() -> list[str]:
    import torch

    notes = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if torch.get_num_threads() > cores:
        notes.append(f"torch uses {torch.get_num_threads()} threads on {cores} cores: set OMP_NUM_THREADS={cores}.")
    return notes


def _paths(problems: list[str]) -> tuple[OperatorPath, ...]:
    """Ask each operator; what it refuses here (a backend that the environment asks for) is a problem."""
    import torch

    from seqsuite.ops import explain_backend, operators

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name, operator in operators().items():
        try:
            told = explain_backend(name)
        except UserError as error:
            if str(error) not in problems:  # a misspelt variable is one problem, not one of each operator
                problems.append(str(error))
            continue
        why = "; ".join(f"{path}: {reason}" for path, reason in told.rejected.items())
        rows.append(OperatorPath(name, device, told.backend, f"{told.asked_by}; not {why}", operator.kernels))
    return tuple(rows)
