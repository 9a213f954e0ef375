"""The machine code of tick.cpp: built by the C++ compiler of the machine, kept in the user's cache, loaded.

The library is named by source, compiler, flags and processor, so that a change of one builds another.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from ctypes import c_double, c_int64, c_void_p
from functools import lru_cache
from pathlib import Path

_FLAGS = (
    *("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
)


class NativeError(RuntimeError):
    """The machine code cannot be built or loaded; one line says why."""


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """Build and load the machine code; a call after the first gives the same.

    Raises:
        NativeError: See there.
    """
    source = Path(__file__).with_name("tick.cpp")
    compiler = find_compiler()
    key = hashlib.sha256(source.read_bytes())
    key.update(" ".join((*compiler, *_FLAGS, platform.machine(), _processor())).encode())
    folder = cache_folder()
    target = folder / f"tick-{key.hexdigest()[:16]}.so"
    try:
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _build(compiler, source, target)
        library = ctypes.CDLL(os.fspath(target))
    except OSError as error:
        raise NativeError(f"the machine code cannot be kept or loaded ({error})") from error
    library.seqaudio_step.argtypes = (c_void_p,) * 3
    library.seqaudio_step.restype = None
    library.seqaudio_run.argtypes = (c_void_p, ctypes.c_int, *(c_void_p,) * 6)
    library.seqaudio_run.restype = None
    library.seqaudio_draw.argtypes = (c_void_p, ctypes.c_int, c_void_p, c_double, c_void_p)
    library.seqaudio_draw.restype = c_int64
    return library


def find_compiler() -> tuple[str, ...]:
    """Return the C++ compiler: the variable CXX, or c++, g++ or clang++.

    Raises:
        NativeError: There is none, or the system is none that the flags are for.
    """
    if platform.system() not in ("Linux", "Darwin"):
        raise NativeError(f"machine code is built on Linux and macOS, not on {platform.system()}")
    wanted = shlex.split(os.environ.get("CXX", ""))
    for words in [wanted] if wanted else [["c++"], ["g++"], ["clang++"]]:
        found = shutil.which(words[0])
        if found:
            return found, *words[1:]
    raise NativeError(f"no C++ compiler ({wanted[0] if wanted else 'c++, g++ or clang++'} is not in PATH)")


def cache_folder() -> Path:
    """Return where the library is kept: $SEQSUITE_CACHE, else $XDG_CACHE_HOME/seqsuite, else ~/.cache/seqsuite."""
    own, shared = os.environ.get("SEQSUITE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser() / "seqaudio"
    home = Path(shared) if shared else Path(os.path.expanduser("~")) / ".cache"
    return home / "seqsuite" / "seqaudio"


def _build(compiler: tuple[str, ...], source: Path, target: Path) -> None:
    """Compile aside and put in place, so that no other process loads half a file."""
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        made = Path(aside) / target.name
        command = [*compiler, *_FLAGS, os.fspath(source), "-o", os.fspath(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no message"]
            raise NativeError(f"{compiler[0]} failed: {lines[0].strip()}")
        os.replace(made, target)


def _processor() -> str:
    """Return what tells processors apart: a library for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
