"""A downloader for pooch that goes on where a transfer broke.

pooch's own starts again from nothing and keeps nothing of a broken transfer. This one writes into `<file>.part`,
asks for the rest with a Range, and only if the file on the server is still the same one (If-Range).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seqsuite.errors import UserError

if TYPE_CHECKING:
    import requests

# When a transfer breaks, what came of the last chunk is lost: small ones.
_CHUNK = 1 << 14
_CONNECT_SECONDS, _SILENT_SECONDS = 15, 60


class ResumingDownloader:
    """Callable as pooch wants it.

    Args:
        part: Where the unfinished file is kept.
        attempts: How often a broken transfer is taken up again in one call.
        quiet: Show no progress.
        pause: Seconds before the second attempt; doubled for each further one.
    """

    def __init__(self, part: Path, *, attempts: int = 4, quiet: bool = False, pause: float = 0.5) -> None:
        self.part, self.attempts, self.quiet, self.pause = part, attempts, quiet, pause
        self._validator = part.with_name(f"{part.name}.etag")

    def __call__(self, url: str, output_file: str | os.PathLike[str] | IO[bytes], pooch: Any) -> None:
        """Download to `output_file`, a path or an open file.

        Raises:
            requests.RequestException: The server refuses or cannot be reached at the first attempt.
            UserError: The transfer keeps breaking; what came is kept for the next time.
        """
        import requests

        self.part.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(self.attempts):
            before = self._have()
            try:
                self._transfer(url)
                break
            except requests.HTTPError:
                raise
            except (requests.RequestException, _Broken) as error:
                came = self._have()
                if not came and isinstance(error, requests.ConnectionError):
                    raise
                if attempt == self.attempts - 1 or (came == before and attempt):
                    raise UserError(
                        f"{url}: the transfer broke after {came:,} bytes; run the same command again to go on there"
                    ) from error
                time.sleep(self.pause * 2**attempt)
        if isinstance(output_file, str | os.PathLike):
            os.replace(self.part, output_file)
        else:
            with open(self.part, "rb") as file:
                shutil.copyfileobj(file, output_file)
            self.part.unlink()
        self._validator.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _transfer(self, url: str) -> None:
        """One request: the rest of the file if we have a beginning of the same one, else all of it."""
        import requests

        have = self._have()
        validator = self._validator.read_text(encoding="utf-8") if self._validator.is_file() else ""
        # Without a validator two versions of a file could be glued together: begin anew then.
        headers = {"Accept-Encoding": "identity"}
        if have and validator:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        with requests.get(url, stream=True, headers=headers, timeout=(_CONNECT_SECONDS, _SILENT_SECONDS)) as answer:
            if answer.status_code == 416:  # the part is no beginning of what the server has now
                self.part.unlink(missing_ok=True)
                self._validator.unlink(missing_ok=True)
                raise _Broken("range not satisfiable")
            answer.raise_for_status()
            have = have if answer.status_code == 206 else 0
            self._validator.write_text(_same_file(answer), encoding="utf-8")
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            self._write(answer, have, total)
        if total is not None and self._have() != total:
            raise _Broken(f"{self._have()} of {total} bytes")

    def _write(self, answer: requests.Response, have: int, total: int | None) -> None:
        with open(self.part, "ab" if have else "wb") as file, _Meter(have, total, self.quiet) as meter:
            for piece in answer.iter_content(_CHUNK):
                file.write(piece)
                meter.add(len(piece))


def _same_file(answer: requests.Response) -> str:
    """Return what tells this version of the file from another: a strong ETag, else its date."""
    etag = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


class _Broken(Exception):
    """A transfer that ended too early."""


class _Meter:
    """Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, have: int, total: int | None, quiet: bool) -> None:
        self.done, self.total, self.quiet = have, total, quiet
        self._told = time.monotonic()
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=total, completed=have)

    def __enter__(self) -> _Meter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, count: int) -> None:
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
        elif not self.quiet and time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            of = "" if self.total is None else f" of {self.total / 1e6:.1f}"
            print(f"{self.done / 1e6:.1f}{of} MB", file=sys.stderr, flush=True)
