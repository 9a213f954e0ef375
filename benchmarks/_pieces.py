"""What benchmarks of many pieces share: a piece's figures in a file of its own, kept from call to call."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from _deadline import OutOfTime

Piece = TypeVar("Piece")


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finished(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the figures that an earlier call wrote.

    Raises:
        SystemExit: They were measured with other options.
    """
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    other = sorted(name for name in {*key, *found["key"]} if key.get(name) != found["key"].get(name))
    if other:
        raise SystemExit(f"{path} was measured with another {', '.join(other)}; choose another --work, or remove it.")
    return found


def measure_all(
    pieces: Sequence[Piece],
    *,
    place: Callable[[Piece], Path],
    key: Callable[[Piece], dict[str, Any]],
    measure: Callable[[Piece], dict[str, Any]],
    wanted: Callable[[Piece], bool] = lambda piece: True,
) -> dict[Piece, dict[str, Any]]:
    """Measure what is missing; return everything that there is, early when the time is over or on Ctrl-C.

    Args:
        pieces: All of them, in the order of measuring.
        place: The .json file of a piece's figures.
        key: What they depend on; another key means another measurement.
        measure: Measures a piece; raises OutOfTime where it goes on at the next call.
        wanted: Whether this call measures a piece.
    """
    from seqsuite.training.run_folder import write_json

    keys = {piece: json.loads(json.dumps(key(piece))) for piece in pieces}
    before = {piece: finished(place(piece), keys[piece]) for piece in pieces}
    done = {piece: found for piece, found in before.items() if found is not None}
    try:
        for number, piece in enumerate(pieces, start=1):
            if piece in done or not wanted(piece):
                continue
            print(f"[{number} of {len(pieces)}] {piece}", file=sys.stderr, flush=True)
            found = {"key": keys[piece], **measure(piece)}
            place(piece).parent.mkdir(parents=True, exist_ok=True)
            write_json(place(piece), found)
            done[piece] = json.loads(place(piece).read_text(encoding="utf-8"))  # as the next call will find it
    except OutOfTime:
        print("the time is over; call again to go on", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; call again to go on", file=sys.stderr)
    return done
