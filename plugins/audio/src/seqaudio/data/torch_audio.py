"""torchaudio, loaded where it is needed and only beside the torch it was built for.

    resample = torchaudio().functional.resample

torchaudio 2.11 is its last release and asks for no torch in its metadata, so an installer pairs it with any.
"""

from __future__ import annotations

import re
from importlib import import_module, metadata
from typing import Any

from seqsuite.errors import UserError

_LAST = "2.11"


def torchaudio() -> Any:
    """Return the module `torchaudio`.

    Raises:
        UserError: It is not installed, does not belong to the installed torch, or does not load beside it.
    """
    versions = _versions()
    if versions["torchaudio"] is None:
        raise UserError(f"torchaudio is not installed beside torch {versions['torch']}; {_way_out(versions)}")
    if not versions_match():
        raise UserError(_mismatch(versions))
    try:
        return import_module("torchaudio")
    except (ImportError, OSError) as error:
        why = str(error).splitlines()[0]
        raise UserError(f"{_mismatch(versions)} ({why})") from error


def versions_match() -> bool:
    """Tell whether torch and torchaudio are installed in the same minor version; neither is imported."""
    found = [_minor(version) for version in _versions().values()]
    return None not in found and len(set(found)) == 1


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in ("torch", "torchaudio"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _minor(version: str | None) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", version or "")
    return (int(match[1]), int(match[2])) if match else None


def _mismatch(versions: dict[str, str | None]) -> str:
    return f"torchaudio {versions['torchaudio']} does not work with torch {versions['torch']}; {_way_out(versions)}"


def _way_out(versions: dict[str, str | None]) -> str:
    torch = _minor(versions["torch"])
    wanted = _LAST if torch is None or torch > (2, 11) else f"{torch[0]}.{torch[1]}"
    return f"install a pair from the same index: pip install 'torch=={wanted}.*' 'torchaudio=={wanted}.*'"
