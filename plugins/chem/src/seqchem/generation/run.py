"""Molecules from wanted properties.

    generate(model, {"qed": 0.9, "logp": 2.0}, n=100, generator=generator)
    generate(model, {"qed": 0.9}, seed_sequences=["CC(=O)Nc1ccc(O)cc1"], fraction=0.4, n=10, generator=generator)

Goals are written in front of a sequence whose tokens are masked, all of them or spans of a seed, and the masks are
filled (`seqchem.generation.filling`). Every candidate is checked; as many are made as are still wanted, until
nothing is missing or `tries` candidates a wanted molecule were made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from seqchem.generation.checking import (
    CandidateChecker,
    canonical_of,
    goal_warnings,
    goal_widths,
    measured,
    off_goal,
    verified_by,
)
from seqchem.generation.filling import fill_masks
from seqchem.generation.options import FillOptions, MoleculeLimits
from seqchem.generation.results import GeneratedMolecules, MoleculeCandidate
from seqchem.generation.starts import Prompt, SeedTokens, check_masking, draw_lengths, mask_spans, seed_tokens
from seqsuite.errors import UserError

_WAVE = 2048
"""Candidates in memory at once."""


def generate(
    model: Any,
    targets: Mapping[str, float],
    *,
    seed_sequences: Sequence[str] | None = None,
    n: int = 100,
    tries: int = 10,
    fraction: float = 0.4,
    resize: int = 1,
    lengths: tuple[int, int] | None = None,
    limits: MoleculeLimits | None = None,
    widths: Mapping[str, float] | None = None,
    fill: FillOptions | None = None,
    known: Container[str] = (),
    rdkit: bool = True,
    generator: torch.Generator,
) -> GeneratedMolecules:
    """Make molecules with wanted properties.

    Args:
        model: A Regression Transformer, trained for generation too.
        targets: Property -> wanted value, in its unit; of the model's properties. May be empty.
        seed_sequences: Molecules to change; None: from nothing.
        n: How many are wanted, of each seed where there are seeds.
        tries: Most candidates for each wanted molecule.
        fraction: Part of a seed's tokens to mask.
        resize: Tokens by which a masked span of a seed may grow or shrink.
        lengths: Shortest and longest sequence in tokens, from nothing; None: drawn from the training lengths.
        limits: What a candidate must be; None: the defaults of `MoleculeLimits`.
        widths: Property -> how far from its goal is still good, in its unit, in place of `limits.tolerance`.
        fill: How masks are filled; None: the defaults of `FillOptions`.
        known: Canonical sequences of the training set, not to be made again.
        rdkit: Whether RDKit says what a molecule has, where it computes the property; else the model does.
        generator: Draws, on the CPU.

    Returns:
        All candidates.

    Raises:
        UserError: A goal, seed or option that the model cannot take.
    """
    if n < 1 or tries < 1:
        raise UserError(f"--n is {n} and --tries {tries}; both must be at least 1")
    check_masking(fraction, resize)
    if lengths is not None and not (len(lengths) == 2 and 1 <= lengths[0] <= lengths[1]):
        raise UserError("--lengths: give the shortest and the longest, as in 20,40")
    limits, fill = limits or MoleculeLimits(), fill or FillOptions()
    begun = time.perf_counter()
    prompt, warnings = Prompt.of(model, targets), goal_warnings(model, targets)
    seeds = [None] if seed_sequences is None else [seed_tokens(model, s, keep=limits.keep) for s in seed_sequences]
    if not seeds:
        raise UserError("there are no seeds to change")
    allowed = goal_widths(model, {name: (widths or {}).get(name) for name in targets}, limits.tolerance)
    verified = verified_by(model, list(targets), rdkit=rdkit)
    jobs = [_Job(CandidateChecker(model, limits, seed, known), n, n * tries) for seed in seeds]
    made: list[MoleculeCandidate] = []
    makes = _Maker(model, prompt, fraction, resize, lengths, fill, generator)
    while wave := _wave(jobs):
        sequences = makes.sequences(wave)
        found = _checked(model, wave, sequences, dict(targets), verified, allowed, fill.batch_size)
        made += [candidate for job, candidate in zip(wave, found, strict=True) if job.takes(candidate)]
    seconds = time.perf_counter() - begun
    return GeneratedMolecules(tuple(made), verified, n * len(jobs), seconds, model.config.language, warnings)


@dataclass
class _Job:
    """What is still to be made of one seed."""

    checker: CandidateChecker
    wanted: int
    budget: int
    taken: int = 0
    tried: int = 0

    def next(self) -> int:
        """Return how many candidates to make: as many as should give what is missing, by those so far."""
        if self.taken >= self.wanted:
            return 0
        rate = max(0.1, (self.taken + 1) / (self.tried + 1)) if self.tried else 1.0
        return min(math.ceil((self.wanted - self.taken) / rate), self.budget - self.tried)

    def takes(self, candidate: MoleculeCandidate) -> bool:
        """Count a candidate; False behind the last one that was wanted: it is as if it had not been made."""
        if self.taken >= self.wanted:
            return False
        self.tried += 1
        self.taken += not candidate.reason
        return True


def _wave(jobs: Sequence[_Job]) -> list[_Job]:
    """Return the jobs of the next candidates, one entry a candidate."""
    wave: list[_Job] = []
    for job in jobs:
        wave += [job] * min(job.next(), _WAVE - len(wave))
    return wave


@dataclass
class _Maker:
    """Masks and fills."""

    model: Any
    prompt: Prompt
    fraction: float
    resize: int
    lengths: tuple[int, int] | None
    fill: FillOptions
    generator: torch.Generator
    _mask: int = field(init=False)

    def __post_init__(self) -> None:
        self._mask = self.model.tokenizer.mask_token_id

    def sequences(self, wave: Sequence[_Job]) -> list[list[int]]:
        """Return the ids of a candidate for each entry."""
        sizes = draw_lengths(self.model, len(wave), self.generator, lengths=self.lengths)
        rows = [self._row(job.checker.seed, size) for job, size in zip(wave, sizes, strict=True)]
        return [self.prompt.sequence(row) for row in fill_masks(self.model, rows, self.fill, generator=self.generator)]

    def _row(self, seed: SeedTokens | None, size: int) -> list[int]:
        if seed is None:
            return self.prompt.row([self._mask] * min(size, self.prompt.room))
        options = {"resize": self.resize, "room": self.prompt.room}
        return self.prompt.row(mask_spans(seed, self.fraction, self._mask, self.generator, **options))


def _checked(
    model: Any,
    wave: Sequence[_Job],
    sequences: Sequence[Sequence[int]],
    targets: dict[str, float],
    verified: dict[str, str],
    widths: Mapping[str, float],
    batch_size: int,
) -> list[MoleculeCandidate]:
    """Return the candidates of the sequences, with their properties and the first reason against each."""
    texts = ["".join(model.tokenizer.decode(ids)) for ids in sequences]
    canonical = [canonical_of(model, text) for text in texts]
    first = [job.checker.first_reason(name, len(ids))
             for job, name, ids in zip(wave, canonical, sequences, strict=True)]  # fmt: skip
    different = list(dict.fromkeys(name for name in canonical if name is not None))
    obtained, predicted = measured(model, different, verified, batch_size=batch_size)
    place = {name: number for number, name in enumerate(different)}
    found = []
    for job, text, name, (reason, alike) in zip(wave, texts, canonical, first, strict=True):
        seed = "" if job.checker.seed is None else job.checker.seed.given
        if name is None:
            found.append(MoleculeCandidate(text, seed, targets, reason=reason, valid=False))
            continue
        has, says = ({key: float(table[key][place[name]]) for key in table} for table in (obtained, predicted))
        reason = reason or off_goal(targets, has, widths)
        found.append(MoleculeCandidate(name, seed, targets, has, says, alike, reason))
    return found
