"""The folder beside the output that holds a collection until it is complete: OUT.parts.

collection.json    the options that determine the episodes
episodes.journal   finished episodes
training/          states and checkpoints of ppo or sac
.lock              held by the process that writes here
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqrl.configs.collect import CollectConfig
from seqsuite.errors import UserError
from seqsuite.training.run_folder import told, write_json

try:
    import fcntl
except ImportError:  # not every system has advisory locks
    fcntl = None  # type: ignore[assignment]

_IDENTITY = "collection.json"


class PartsFolder:
    """OUT.parts of one collection.

    Args:
        config: The options; `out`, `resume` and `overwrite` decide about what is there.
    """

    def __init__(self, config: CollectConfig) -> None:
        self.config = config
        self.out = Path(os.path.expanduser(config.target)).absolute()
        self.shown = Path(config.target)
        self.path = self.out.with_name(f"{self.out.name}.parts")
        self.policies = self.out.with_name(f"{self.out.name}.policies")
        self.journal = self.path / "episodes.journal"
        self.training = self.path / "training"

    @contextlib.contextmanager
    def claim(self, identity: Mapping[str, Any]) -> Iterator[None]:
        """Check whether the collection may write here, prepare the folder and keep other processes out.

        Args:
            identity: What determines the episodes.

        Raises:
            UserError: The output exists, another collection lies here, there is none to resume, or another
                process writes here.
        """
        self.check(identity)
        with told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self.check(identity)  # another process may have been quicker
            if self.config.overwrite:
                self._clear()
            write_json(self.path / _IDENTITY, identity)
            try:
                yield
            except UserError:
                if not self._kept():  # a policy that does not fit leaves nothing behind
                    shutil.rmtree(self.path, ignore_errors=True)
                raise

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse to write over what is there; changes nothing."""
        begun = self._begun()
        if self.config.resume:
            if begun is None:
                done = "is complete" if self.out.exists() else "holds no collection"
                raise UserError(f"{self.shown} {done}, nothing to resume; leave out --resume to collect anew")
            self._compare(begun, identity)
        elif not self.config.overwrite:
            if self.out.exists():
                raise UserError(f"{self.shown} exists; add --overwrite or choose another --out")
            if begun is not None and self._kept():
                raise UserError(f"{self.shown}.parts holds an interrupted collection; add --resume or --overwrite")
            if begun is None and self.path.exists() and any(path.name != ".lock" for path in self.path.iterdir()):
                raise UserError(f"{self.shown}.parts exists and holds no collection; choose another --out")
        elif self.out.exists() and not self._replaceable():
            raise UserError(
                f"{self.shown} is no data set, or holds more; --overwrite would delete it: choose another --out"
            )

    def _clear(self) -> None:
        for old in self.path.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            elif old.name != ".lock":
                old.unlink()

    def _kept(self) -> bool:
        """Tell whether there is anything that could be lost."""
        episodes = self.journal.exists() and self.journal.stat().st_size > 0
        return episodes or any(self.training.glob("stage-*.pt"))

    def _replaceable(self) -> bool:
        """Tell whether what --overwrite would remove is what a collection writes."""
        if self.out.is_dir():
            from seqrl.data.minari_sets import is_bare_set

            return is_bare_set(self.out) or not any(self.out.iterdir())
        return self.out.suffix in (".hdf5", ".h5")

    def finish(self) -> Path | None:
        """Remove the folder when the data set is written; trained policies stay in OUT.policies.

        Returns:
            The folder of trained policies, or None.
        """
        trained = sorted(self.training.glob("policy-*.zip")) if self.training.is_dir() else []
        with told(self.policies):
            if trained:
                self.policies.mkdir(exist_ok=True)
                for path in trained:
                    os.replace(path, self.policies / path.name)
            shutil.rmtree(self.path)
        return self.shown.with_name(self.policies.name) if trained else None

    def _begun(self) -> dict[str, Any] | None:
        try:
            value = json.loads((self.path / _IDENTITY).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as problem:
            raise UserError(f"{self.path / _IDENTITY}: cannot read it: {problem}") from problem
        return value if isinstance(value, dict) else None

    def _compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        now = json.loads(json.dumps(now))
        changed = [
            f"--{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value
        ]
        if changed:
            raise UserError(f"cannot resume {self.shown} with other options: {'; '.join(changed)}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; the system takes it back when the process dies, in whatever way."""
        if fcntl is None:
            yield
            return
        with told(self.path), open(self.path / ".lock", "w") as file:
            # Some network file systems have no locks: better unguarded than not at all.
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(f"{self.shown}.parts is in use by another process; choose another --out") from None
            yield
