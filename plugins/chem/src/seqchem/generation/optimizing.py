"""The search for molecules that are better than their seeds, and like them.

    found = optimize(model, seeds, parse_goals(["plogp=+2"], relative=True), similarity=(0.4, 0.6), generator=generator)
    found.summary()                                        # of each similarity: improvement, similarity, success

A small evolutionary loop. Every seed has a population: itself and what was found of it. In each round parents are drawn
from the best of the population (for every asked similarity its own best), spans of them are masked, the goal is
written in front (the parent's value plus the wanted change, within the trained range), and the masks are filled. A
child stays where it is a molecule, new, keeps and avoids what it must, and is as like the seed as the least of the
asked similarities says. What counts is the verified property, not the model's belief. The budget is rounds x children
a seed, shared by all asked similarities.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from seqchem.generation.checking import CandidateChecker, canonical_of, goal_warnings, measured, verified_by
from seqchem.generation.filling import fill_masks
from seqchem.generation.goals import PropertyGoal
from seqchem.generation.improvements import ImprovedMolecule, OptimizedMolecules
from seqchem.generation.options import FillOptions, MoleculeLimits
from seqchem.generation.starts import Prompt, SeedTokens, check_masking, mask_spans, seed_tokens
from seqsuite.errors import UserError


def optimize(
    model: Any,
    seed_sequences: Sequence[str],
    goals: Sequence[PropertyGoal],
    *,
    similarity: Sequence[float] | float = (0.4,),
    rounds: int = 8,
    children: int = 8,
    population: int = 4,
    fraction: float = 0.3,
    resize: int = 2,
    limits: MoleculeLimits | None = None,
    fill: FillOptions | None = None,
    rdkit: bool = True,
    generator: torch.Generator,
) -> OptimizedMolecules:
    """Search for better molecules near seeds.

    Args:
        model: A Regression Transformer, trained for generation too.
        seed_sequences: Where to start.
        goals: What is wanted: changes (the more the better, in their direction) or values (the nearer the better). Of
            several, improvements are added in parts of their trained ranges.
        similarity: Least similarities to the seed; the best molecule of each is reported.
        rounds: Generations.
        children: Candidates of a seed in each round.
        population: Parents of a seed, for each similarity.
        fraction: Part of a parent's tokens to mask.
        resize: Tokens by which a masked span may grow or shrink.
        limits: `keep` and `avoid` of these hold; the similarity is that asked for here.
        fill: How masks are filled; None: the defaults of `FillOptions`.
        rdkit: Whether RDKit verifies, where it computes the property; else the model does.
        generator: Draws, on the CPU.

    Returns:
        The best molecule of every seed at every similarity, and what was tried.

    Raises:
        UserError: A goal, seed or option that the model cannot take.
    """
    deltas = _check(goals, seed_sequences, similarity, rounds=rounds, children=children, population=population)
    check_masking(fraction, resize)
    begun = time.perf_counter()
    limits = dataclasses.replace(limits or MoleculeLimits(), similarity=min(deltas))
    verified = verified_by(model, [goal.name for goal in goals], rdkit=rdkit)
    fill = fill or FillOptions()
    measure = partial(measured, model, verified=verified, batch_size=fill.batch_size, predict=False)
    lines = [_line(model, text, limits) for text in seed_sequences]
    aim = _Aim.of(model, goals)
    goal_warnings(model, {goal.name: goal.value for goal in goals if not goal.relative})
    starts, _ = measure([line.seed.text for line in lines])
    for number, line in enumerate(lines):
        line.begin({name: float(values[number]) for name, values in starts.items()})
    breeder = _Breeder(model, aim, deltas, population, fraction, resize, fill, generator)
    for _ in range(rounds):
        breeder.round(lines, children, measure)
    rows = [_best(line, aim, delta) for delta in deltas for line in lines]
    tried = sum(line.tried for line in lines)
    return OptimizedMolecules(tuple(rows), verified, tried, time.perf_counter() - begun, model.config.language)


def _check(
    goals: Sequence[PropertyGoal], seeds: Sequence[str], similarity: Sequence[float] | float, **counts: int
) -> list[float]:
    """Return the asked similarities, refusing what cannot be searched with."""
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"--{name} is {count}; it must be at least 1")
    if not goals:
        raise UserError("--goal: say what is wanted, as in --goal logp=+1")
    if not seeds:
        raise UserError("there are no seeds to start from")
    for goal in goals:
        if goal.relative and not goal.value:
            raise UserError(f"--goal {goal.name}: a change of 0 is no goal")
    deltas = sorted({similarity} if isinstance(similarity, (int, float)) else set(similarity))
    if not deltas or deltas[0] < 0 or deltas[-1] > 1:
        raise UserError(f"--similarity {', '.join(map(str, deltas))}: give numbers from 0 to 1")
    return deltas


@dataclass(frozen=True)
class _Aim:
    """What is wanted, over the trained ranges."""

    goals: tuple[PropertyGoal, ...]
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, model: Any, goals: Sequence[PropertyGoal]) -> _Aim:
        Prompt.of(model, {goal.name: model.tokenizer.number_format(goal.name).minimum for goal in goals})
        formats = model.tokenizer.number_formats
        return cls(tuple(goals), {g.name: (formats[g.name].minimum, formats[g.name].maximum) for g in goals})

    def improvements(self, start: dict[str, float], now: dict[str, float]) -> dict[str, float]:
        """Return by how much each property is better than at the start, in its unit."""
        found = {}
        for goal in self.goals:
            before, after = start[goal.name], now[goal.name]
            if goal.relative:
                found[goal.name] = after - before if goal.value > 0 else before - after
            else:
                found[goal.name] = abs(before - goal.value) - abs(after - goal.value)
        return found

    def score(self, start: dict[str, float], now: dict[str, float]) -> float:
        """Return the sum of the improvements, each in parts of its trained range."""
        better = self.improvements(start, now)
        return sum(value / (self.ranges[name][1] - self.ranges[name][0]) for name, value in better.items())

    def asked(self, now: dict[str, float]) -> dict[str, float]:
        """Return what to ask of a child, within the trained ranges."""
        found = {}
        for goal in self.goals:
            low, high = self.ranges[goal.name]
            value = now[goal.name] + goal.value if goal.relative else goal.value
            found[goal.name] = min(max(value, low), high)
        return found


@dataclass(frozen=True)
class _Member:
    """A molecule of a population."""

    tokens: SeedTokens | None
    sequence: str
    values: dict[str, float]
    similarity: float
    score: float


@dataclass
class _Line:
    """A seed and what was found of it."""

    seed: SeedTokens
    checker: CandidateChecker
    members: list[_Member] = field(default_factory=list)
    tried: int = 0

    def begin(self, values: dict[str, float]) -> None:
        self.members.append(_Member(self.seed, self.seed.text, values, 1.0, 0.0))

    @property
    def start(self) -> dict[str, float]:
        return self.members[0].values

    def best(self, delta: float, count: int) -> list[_Member]:
        """Return the best of those that are like enough and can be masked again, the older first among equals."""
        near = [member for member in self.members if member.similarity >= delta and member.tokens is not None]
        return sorted(near, key=lambda member: -member.score)[:count]


def _line(model: Any, text: str, limits: MoleculeLimits) -> _Line:
    seed = seed_tokens(model, text, keep=limits.keep)
    return _Line(seed, CandidateChecker(model, limits, seed))


@dataclass
class _Breeder:
    """Makes a round of children for all seeds at once."""

    model: Any
    aim: _Aim
    deltas: Sequence[float]
    population: int
    fraction: float
    resize: int
    fill: FillOptions
    generator: torch.Generator

    def round(self, lines: Sequence[_Line], children: int, measure: Any) -> None:
        """Make and judge the children of one round."""
        owners, prompts, rows = [], [], []
        for line in lines:
            parents = [line.best(delta, self.population) for delta in self.deltas]
            for child in range(children):
                among = parents[child % len(parents)]
                parent = among[int(torch.randint(len(among), (1,), generator=self.generator))]
                prompt = Prompt.of(self.model, self.aim.asked(parent.values))
                owners.append(line)
                prompts.append(prompt)
                rows.append(prompt.row(self._masked(parent, prompt.room)))
        filled = fill_masks(self.model, rows, self.fill, generator=self.generator)
        sequences = [prompt.sequence(row) for prompt, row in zip(prompts, filled, strict=True)]
        self._judge(owners, sequences, measure)

    def _masked(self, parent: _Member, room: int) -> list[int]:
        assert parent.tokens is not None
        mask, options = self.model.tokenizer.mask_token_id, {"resize": self.resize, "room": room}
        return mask_spans(parent.tokens, self.fraction, mask, self.generator, **options)

    def _judge(self, owners: Sequence[_Line], sequences: Sequence[Sequence[int]], measure: Any) -> None:
        """Give what holds to the populations."""
        kept: list[tuple[_Line, str, float]] = []
        for line, ids in zip(owners, sequences, strict=True):
            line.tried += 1
            name = canonical_of(self.model, "".join(self.model.tokenizer.decode(ids)))
            reason, alike = line.checker.first_reason(name, len(ids))
            if not reason and name is not None:
                kept.append((line, name, alike))
        values, _ = measure([name for _, name, _ in kept])
        for number, (line, name, alike) in enumerate(kept):
            has = {key: float(column[number]) for key, column in values.items()}
            score = self.aim.score(line.start, has)
            if score == score:  # a NaN cannot be ranked
                line.members.append(_Member(self._tokens(line, name), name, has, alike, score))

    def _tokens(self, line: _Line, name: str) -> SeedTokens | None:
        """Return a molecule's tokens; None where the model cannot write all of it: it is no parent then."""
        try:
            found = seed_tokens(self.model, name, keep=line.checker.limits.keep)
        except UserError:
            return None
        return found if any(found.free) else None


def _best(line: _Line, aim: _Aim, delta: float) -> ImprovedMolecule:
    """Return the best molecule of a seed at a similarity; the seed itself where none is better."""
    near = [member for member in line.members[1:] if member.similarity >= delta]
    best = max(near, key=lambda member: member.score, default=line.members[0])
    if best.score <= 0:
        best = line.members[0]
    better = aim.improvements(line.start, best.values)
    return ImprovedMolecule(
        delta, line.seed.given, "" if best is line.members[0] else best.sequence, line.start, best.values, better,
        best.similarity,
    )  # fmt: skip
