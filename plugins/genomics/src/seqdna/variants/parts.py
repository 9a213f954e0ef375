"""Work divided among processes: numbered blocks, one file each, joined by whoever finishes last.

    parts = Parts("out.vcf.parts", fingerprint, blocks=40, shard=Shard(1, 3))
    for block in parts.missing(): parts.put(block, scores=...)
    if parts.claim(): ... parts.get(block) ...; parts.remove()

Which numbers come out of a block depends on the block alone, so the joined file is the same however many
processes there were. A finished block is a renamed file: an interrupted run goes on where it stopped. Blocks of
other inputs or options have another fingerprint and thus another folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError


@dataclass(frozen=True)
class Shard:
    """Share `index` (from 0) of `count`."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "2/3", counted from 1.

        Raises:
            UserError: Anything else.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"--shard is {text!r}; give i/n with 1 <= i <= n, such as 1/4.")
        return cls(int(match[1]) - 1, int(match[2]))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Shard:
        """Read RANK and WORLD_SIZE as torchrun sets them; one share where it did not.

        Raises:
            UserError: They are no rank and size.
        """
        rank, size = environment.get("RANK"), environment.get("WORLD_SIZE")
        if rank is None or size is None:
            return cls()
        if not (rank.isdigit() and size.isdigit() and int(rank) < int(size)):
            raise UserError(f"RANK={rank} and WORLD_SIZE={size} in the environment are no share of the work.")
        return cls(int(rank), int(size))

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


class Parts:
    """The blocks of one job.

    Args:
        folder: Where its folders lie.
        fingerprint: Of everything that decides the results.
        blocks: Number of blocks.
        shard: Whose turn it is: every `count`-th block.

    Raises:
        UserError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path, fingerprint: str, blocks: int, shard: Shard) -> None:
        self.root, self.blocks, self.shard = Path(folder), blocks, shard
        self.folder = self.root / fingerprint
        with _explained(self.root):
            self._take_back()
            self.folder.mkdir(parents=True, exist_ok=True)

    def _take_back(self) -> None:
        """Give the blocks their name again if the process that was joining them on this machine is no more."""
        start, host = re.escape(self.folder.name), re.escape(socket.gethostname())
        name = re.compile(rf"{start}\.joined-by-(\d+)-{host}-[0-9a-f]+")
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            match = name.fullmatch(folder.name)
            if match and not _runs(int(match[1])):
                with contextlib.suppress(OSError):  # another process was faster, or has begun anew
                    folder.rename(self.folder)

    def missing(self) -> Iterator[int]:
        """Yield this share's blocks that are not done."""
        for block in range(self.shard.index, self.blocks, self.shard.count):
            if not self._path(block).is_file():
                yield block

    def left(self) -> int:
        """Return how many blocks of all shares are not done; 0 too where another process joins them already."""
        left = sum(not self._path(block).is_file() for block in range(self.blocks))
        return left if self.folder.is_dir() else 0

    def put(self, block: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a block, whole or not at all."""
        target = self._path(block)
        aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        with _explained(self.root):
            self.folder.mkdir(parents=True, exist_ok=True)  # a share without blocks may have tidied it away
            try:
                with aside.open("wb") as handle:
                    np.savez(handle, **arrays)  # type: ignore[arg-type]
                os.replace(aside, target)
            finally:
                aside.unlink(missing_ok=True)

    def get(self, block: int) -> dict[str, np.ndarray]:
        """Read a block.

        Raises:
            UserError: It is damaged; it is removed, and the next run makes it again.
        """
        path = self._path(block)
        try:
            with np.load(path) as found:
                return dict(found)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            path.unlink(missing_ok=True)
            raise UserError(
                f"{self.root}: block {block} is damaged ({error}); it was removed, run the same command again."
            ) from None

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Take all finished blocks for joining; gives False to all but one process, and where blocks are left.

        The folder is renamed, which only one can do. It is removed after the joining, and put back if that failed.
        """
        if self.left() or not self.folder.is_dir():
            self._tidy()
            yield False
            return
        who = f"{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(4)}"
        home, mine = self.folder, self.root / f"{self.folder.name}.joined-by-{who}"
        try:
            home.rename(mine)
        except FileNotFoundError:
            yield False
            return
        self.folder = mine
        try:
            yield True
        except BaseException:
            self.folder = home
            mine.rename(home)
            raise
        shutil.rmtree(mine)
        self._tidy()

    def _tidy(self) -> None:
        """Remove the folders that hold nothing."""
        for folder in (self.folder, self.root):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _path(self, block: int) -> Path:
        return self.folder / f"block-{block:08d}.npz"


def _runs(process: int) -> bool:
    """Return whether a process of this machine is alive; True where that cannot be told."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def finished_by_others(target: Path, fingerprint: str, shard: Shard, *, overwrite: bool) -> bool:
    """Return whether an output is the one this share would help to write: the other shares had all blocks.

    Raises:
        UserError: It is another file, and may not be replaced.
    """
    if not target.exists():
        return False
    if shard.count > 1:
        try:
            told = json.loads(description_of(target).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = None
        if isinstance(told, dict) and told.get("fingerprint") == fingerprint:
            return True
    if not overwrite:
        raise UserError(f"{target} exists; add --overwrite or choose another --out.")
    return False


def description_of(target: Path) -> Path:
    """Return the .json file beside an output, which tells its settings and counts."""
    return target.with_name(f"{target.name}.json")


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free space or change --out."
        ) from None
