"""Fetch public data sets: D4RL's files by name, any file by address, Minari's sets by id.

    path = fetch("hopper-medium-v2")                     # kept in the cache; the second call needs no network
    path = fetch("minari:mujoco/hopper/medium-v0")       # through Minari's own download

Files come through pooch (cache, checksum); an interrupted transfer goes on where it broke, if the server can.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from seqrl.data.d4rl_table import D4RL_URLS
from seqsuite.errors import UserError, unknown_name


def cache_folder(cache: str | os.PathLike[str] = "") -> Path:
    """Return where fetched files are kept: `cache`, else the suite's cache folder ($SEQSUITE_CACHE) and `rl`."""
    if cache:
        return Path(cache)
    import pooch

    return Path(os.environ.get("SEQSUITE_CACHE") or pooch.os_cache("seqsuite")) / "rl"


def fetch(
    name: str,
    *,
    url: str = "",
    cache: str | os.PathLike[str] = "",
    sha256: str = "",
    force: bool = False,
    quiet: bool = False,
) -> Path:
    """Fetch a data set, or find it in the cache.

    Args:
        name: One of D4RL's ("hopper-medium-v2"), a Minari id ("minari:mujoco/hopper/medium-v0"), or, with `url`,
            the name to keep the file under.
        url: Another address of the file.
        cache: The folder to keep it in (Minari sets: as MINARI_DATASETS_PATH); empty: the usual one.
        sha256: What the file must hash to; checked also if it is in the cache.
        force: Fetch again what is in the cache.
        quiet: Show no progress.

    Returns:
        The file, or the folder of a Minari set; `open_episodes` reads both.

    Raises:
        UserError: An unknown name, no network, no such file on the server, or another checksum.
    """
    if not url and name not in D4RL_URLS and (name.startswith("minari:") or "/" in name):
        return _fetch_minari(name.removeprefix("minari:"), cache, force)
    if not url and name not in D4RL_URLS:
        raise unknown_name("data set", name, D4RL_URLS)
    address = url or D4RL_URLS[name]
    folder = cache_folder(cache)
    target = folder / _file_name(name, address)
    if force:
        target.unlink(missing_ok=True)
    return _retrieve(address, target, sha256.removeprefix("sha256:").lower(), quiet)


def _file_name(name: str, address: str) -> str:
    """Name the file after the data set, so that reading it finds its references."""
    if name != Path(name).name:
        raise UserError(f"{name!r} is no name of a file")
    suffix = Path(urlparse(address).path).suffix or ".hdf5"
    return name if Path(name).suffix == suffix else f"{name}{suffix}"


def _retrieve(address: str, target: Path, sha256: str, quiet: bool) -> Path:
    """Fetch one file through pooch; its errors become one line."""
    import pooch
    import requests

    from seqrl.data.downloading import ResumingDownloader

    if urlparse(address).scheme not in ("http", "https"):
        raise UserError(f"{address}: an address begins with http:// or https://")
    pooch.get_logger().setLevel("WARNING")
    known = sha256 or None
    if known and target.is_file() and pooch.file_hash(str(target)) != known:
        raise UserError(f"{target}: its sha256 is not {known}; give --force to fetch it again")
    try:
        found = pooch.retrieve(
            address,
            known_hash=f"sha256:{known}" if known else None,
            fname=target.name,
            path=target.parent,
            downloader=ResumingDownloader(target.with_name(f"{target.name}.part"), quiet=quiet),
        )
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise UserError(f"{address}: the server answers {status}; give the right address with --url") from error
    except requests.RequestException as error:
        raise UserError(f"{address}: cannot be reached ({_cause(error)}); is there a network?") from error
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        raise UserError(f"{address}: what came has not the sha256 {known}; nothing was kept") from error
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    return Path(found)


def _cause(error: BaseException) -> str:
    """Return the innermost reason: what requests and urllib3 wrap around it says nothing more."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:120]


def _fetch_minari(identity: str, cache: str | os.PathLike[str], force: bool) -> Path:
    """Fetch a Minari set through Minari; what it prints goes to standard error."""
    from minari.dataset.minari_dataset import parse_dataset_id

    from seqrl.data.minari_sets import local_folder

    try:
        parse_dataset_id(identity.partition("://")[2].partition("/")[2] or identity)
    except (ValueError, TypeError) as error:
        raise UserError(f"{identity}: no id of a Minari set; those are like mujoco/hopper/medium-v0") from error
    with _minari_root(cache):
        kept = local_folder(identity)
        if kept is not None and not force:
            return kept
        import minari

        try:
            with contextlib.redirect_stdout(sys.stderr):
                minari.download_dataset(identity, force_download=force)
        except Exception as error:  # whatever its cloud libraries raise
            if isinstance(error, TypeError | AttributeError | AssertionError):
                raise
            raise UserError(f"minari:{identity}: {_minari_words(error)}") from error
        found = local_folder(identity.partition("://")[2].partition("/")[2] or identity)
    if found is None:
        raise UserError(f"minari:{identity}: Minari's download left no data set behind")
    return found


def _minari_words(error: Any) -> str:
    if isinstance(error, ImportError | ValueError):
        return " ".join(str(error).split())[:300]
    return f"cannot be fetched ({_cause(error)}); is there a network?"


@contextlib.contextmanager
def _minari_root(cache: str | os.PathLike[str]) -> Iterator[None]:
    """Let Minari keep its sets in another folder."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    if cache:
        os.environ["MINARI_DATASETS_PATH"] = os.fspath(cache)
    try:
        yield
    finally:
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before
        elif cache:
            del os.environ["MINARI_DATASETS_PATH"]
