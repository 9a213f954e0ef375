"""Finished episodes on disk, one record each, appended the moment an episode ends.

A record is its length, its checksum and an .npz of plain arrays. A process killed while it writes leaves a
torn last record, which is cut off when the journal is opened again; everything before it stands.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqsuite.training.run_folder import told

_HEAD = struct.Struct("<QI")  # bytes of the record, CRC-32 of them


@dataclass(frozen=True)
class Trajectory:
    """One finished episode.

    Args:
        number: Its number; with the seed of the run it determines everything below.
        observations: (T + 1, ...): the last one is what followed the last action.
        actions: (T, ...).
        rewards: (T,).
        terminated: Whether it ended by itself; otherwise it was truncated.
    """

    number: int
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)


class _Place(NamedTuple):
    offset: int
    size: int


class Journal:
    """The file of finished episodes.

    Args:
        path: The file; made where it is missing.

    Raises:
        UserError: The place is not writable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lengths: dict[int, int] = {}
        self.returns: dict[int, float] = {}
        self._places: dict[int, _Place] = {}
        with told(path):
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by `close`)
            for place, trajectory in self._scan():
                self._enter(place, trajectory)
            end = max((place.offset + place.size for place in self._places.values()), default=0)
            self._file.truncate(end)
            self._file.seek(0, os.SEEK_END)

    def append(self, trajectory: Trajectory) -> None:
        """Write one episode; it outlives this process from here on.

        Raises:
            UserError: The disk is full.
        """
        buffer = io.BytesIO()
        np.savez(
            buffer,
            number=trajectory.number,
            observations=trajectory.observations,
            actions=trajectory.actions,
            rewards=trajectory.rewards,
            terminated=trajectory.terminated,
        )
        payload = buffer.getvalue()
        with told(self.path):
            offset = self._file.tell() + _HEAD.size
            self._file.write(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            self._file.flush()
        self._enter(_Place(offset, len(payload)), trajectory)

    def read(self, number: int) -> Trajectory:
        """Return one episode.

        Args:
            number: One of `lengths`.
        """
        place = self._places[number]
        with open(self.path, "rb") as file:
            file.seek(place.offset)
            return _trajectory(file.read(place.size))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _enter(self, place: _Place, trajectory: Trajectory) -> None:
        self._places[trajectory.number] = place
        self.lengths[trajectory.number] = len(trajectory)
        self.returns[trajectory.number] = float(trajectory.rewards.sum())

    def _scan(self) -> Iterator[tuple[_Place, Trajectory]]:
        self._file.seek(0)
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            size, checksum = _HEAD.unpack(head)
            offset = self._file.tell()
            # A torn head may ask for any number of bytes.
            if size > os.fstat(self._file.fileno()).st_size - offset:
                return
            payload = self._file.read(size)
            if zlib.crc32(payload) != checksum:
                return
            yield _Place(offset, size), _trajectory(payload)


def _trajectory(payload: bytes) -> Trajectory:
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return Trajectory(
            number=int(arrays["number"]),
            observations=arrays["observations"],
            actions=arrays["actions"],
            rewards=arrays["rewards"],
            terminated=bool(arrays["terminated"]),
        )
