"""Checking and rewriting many sequences: with a line of progress, and kept for the next time.

A quarter of a million molecules take RDKit a minute. What came out is kept in the suite's cache folder, under a
fingerprint of the texts, the rule and RDKit's version; a cache that cannot be written or read is done without.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seqchem.chemistry.parsing import Salts, Standardized, standardize
from seqchem.proteins.letters import CHAIN_SEPARATOR, chains_problem, unknown_letters
from seqsuite.errors import UserError

CACHED_FROM = 5000
"""Sequences from which the result is kept."""
_QUIET = 5.0
"""Seconds between lines of progress."""


class Checked(NamedTuple):
    """What became of each text.

    Attributes:
        texts: The rewritten sequence; the text as it was where it was refused.
        reasons: Why it was refused; empty where it was not.
    """

    texts: list[str]
    reasons: list[str]


def check_sequences(
    texts: Sequence[str], *, language: str = "smiles", salts: Salts = "keep", rewrite: bool = True
) -> Checked:
    """Check sequences and bring them into one form: canonical SMILES, upper-case amino acids.

    Args:
        texts: The sequences.
        language: smiles (of molecules), protein or reaction.
        salts: What becomes of mixtures; see `seqchem.chemistry.parsing.standardize`.
        rewrite: Leave the texts as they are where this is false: only empty ones are refused then.
    """
    if not rewrite:
        stripped = [text.strip() for text in texts]
        return Checked(stripped, ["" if text else "empty" for text in stripped])
    rules: dict[str, Callable[[str], Standardized]] = {
        "smiles": partial(standardize, salts=salts),
        "protein": check_protein,
        "reaction": check_reaction,
    }
    rule = rules[language]

    def compute(text: str) -> str:
        found = rule(text)
        return f"\t{found.reason}" if found.smiles is None else found.smiles

    lines = rewritten(texts, compute, (language, salts if language == "smiles" else ""), what="checking sequences")
    pairs = [line.partition("\t") for line in lines]
    return Checked(
        [new or old.strip() for old, (new, _, _) in zip(texts, pairs, strict=True)], [why for _, _, why in pairs]
    )


def check_protein(text: str) -> Standardized:
    """Return amino acids in upper case; a stop at the end goes.

    Args:
        text: One letter an amino acid, B, O, U, X and Z among them (`seqchem.proteins.letters`); several chains with
            dots between them, such as TARGET.BINDER.
    """
    sequence = text.strip().upper().removesuffix("*")
    if not sequence:
        return Standardized(None, "empty")
    strange = unknown_letters(sequence.replace(CHAIN_SEPARATOR, ""), further=True)
    if strange:
        return Standardized(None, f"no amino acid: {strange[0]!r}")
    problem = chains_problem(sequence)
    return Standardized(sequence) if problem is None else Standardized(None, problem)


def check_reaction(text: str) -> Standardized:
    """Return a reaction with every molecule canonical, in its order.

    Args:
        text: Such as "CCO.CC(=O)O>>CC(=O)OCC"; what stands before `>>` may stand alone.
    """
    if not text.strip():
        return Standardized(None, "empty")
    sides = []
    for side in text.strip().split(">"):
        parts = [standardize(part) for part in side.split(".")] if side else []
        wrong = [part.reason for part in parts if part.smiles is None]
        if wrong:
            return Standardized(None, wrong[0])
        sides.append(".".join(str(part.smiles) for part in parts))
    return Standardized(">".join(sides))


def rewritten(texts: Sequence[str], compute: Callable[[str], str], rule: tuple[str, ...], *, what: str) -> list[str]:
    """Return a line for each text, from the cache where it is there.

    Args:
        texts: The texts.
        compute: From a text to one line.
        rule: What else the lines depend on.
        what: What is being done, for the progress.
    """
    return remembered(texts, lambda: [compute(text) for text in _told(texts, what)], rule)


def remembered(
    texts: Sequence[str], make: Callable[[], list[str]], rule: tuple[str, ...], *, least: int | None = None
) -> list[str]:
    """Return the lines that belong to texts, from the cache where they are there.

    Args:
        texts: The texts.
        make: Makes a line for each.
        rule: What else the lines depend on.
        least: Texts from which on the lines are kept; None: `CACHED_FROM`.
    """
    place = _cache_file(texts, rule) if len(texts) >= (CACHED_FROM if least is None else least) else None
    known = _load(place, len(texts))
    if known is not None:
        return known
    lines = make()
    if place is not None:
        _keep(place, lines)
    return lines


def progress_lines(what: str) -> Callable[[int, int], None]:
    """Return a function that takes how many of how many are done, and prints a line on it every five seconds.

    Args:
        what: What is being done.
    """
    began = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if done and time.monotonic() - last > _QUIET:
            last = time.monotonic()
            left = (last - began) / done * (total - done)
            print(f"{what}: {done:,} of {total:,}, {left:.0f} s left", file=sys.stderr, flush=True)

    return tell


def _told(texts: Sequence[str], what: str) -> Iterable[str]:
    tell = progress_lines(what)
    for number, text in enumerate(texts):
        if number % 64 == 0:
            tell(number, len(texts))
        yield text


def _cache_file(texts: Sequence[str], rule: tuple[str, ...]) -> Path | None:
    from rdkit import __version__ as rdkit_version
    from selfies import __version__ as selfies_version

    digest = hashlib.sha256(repr((rdkit_version, selfies_version, *rule)).encode())
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\n")
    own, shared = os.environ.get("SEQSUITE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # no home folder
        folder = Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "seqsuite"
        return folder / "chem" / f"{digest.hexdigest()[:32]}.txt.gz"
    return None


def _load(place: Path | None, count: int) -> list[str] | None:
    if place is None or not place.is_file():
        return None
    try:
        with gzip.open(place, "rt", encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")[:-1]
    except (OSError, EOFError, ValueError):
        return None
    return lines if len(lines) == count else None


def _keep(place: Path, lines: list[str]) -> None:
    aside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(aside, "wt", encoding="utf-8", newline="\n", compresslevel=3) as file:
            file.writelines(f"{line}\n" for line in lines)
        os.replace(aside, place)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def guess_language(texts: Sequence[str], *, limit: int = 100) -> str:
    """Return what sequences are: smiles (of molecules), protein or reaction.

    Args:
        texts: The sequences; the first ones decide.
        limit: How many.

    Raises:
        UserError: There is none.
    """
    some = [text.strip() for text in texts[: 4 * limit] if text.strip()][:limit]
    if not some:
        raise UserError("there are no sequences")
    if sum(text.count(">") == 2 for text in some) > len(some) / 2:
        return "reaction"
    # Short peptides such as CC are SMILES too; hardly one of a hundred is.
    molecules = sum(standardize(text).smiles is not None for text in some)
    letters = sum(check_protein(text).smiles is not None for text in some)
    return "protein" if letters > molecules else "smiles"
