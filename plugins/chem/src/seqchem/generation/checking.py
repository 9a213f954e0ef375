"""Whether a candidate is taken: what it is, what it has, and the first reason against it.

Cheap questions come first (`first_reason`), then the properties, which only candidates without a reason so far need,
and the distance from the goals at last (`off_goal`).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rdkit import Chem

from seqchem.chemistry.fingerprints import morgan, tanimoto
from seqchem.chemistry.parsing import parse
from seqchem.chemistry.properties import PROPERTIES, calculate
from seqchem.generation.kept import pattern_of
from seqchem.generation.options import MoleculeLimits
from seqchem.generation.starts import SeedTokens
from seqchem.proteins.descriptors import PEPTIDE_PROPERTIES, peptide_properties
from seqchem.proteins.letters import problem_of
from seqsuite.errors import UserError

_STUB = 0.5


def canonical_of(model: Any, text: str) -> str | None:
    """Return what a text of the model's language is: canonical SMILES, or the twenty letters; None if nothing.

    Args:
        model: A Regression Transformer.
        text: As the model wrote it.
    """
    if model.config.language == "protein":
        return text if problem_of(text) is None else None
    if model.config.language == "reaction":
        return text or None
    smiles = model.tokenizer.to_smiles(text)
    molecule = parse(smiles) if smiles else None
    return None if molecule is None else str(Chem.MolToSmiles(molecule))


def similarity(model: Any, first: str, second: str) -> float:
    """Return how alike two sequences are: Tanimoto of Morgan fingerprints (radius 2, 2048 bits), 0 to 1.

    Of proteins and reactions: places with the same letter over the length of the longer.
    """
    if model.config.language in ("protein", "reaction"):
        same = sum(a == b for a, b in zip(first, second, strict=False))
        return same / max(len(first), len(second), 1)
    bits = morgan([first, second])
    return float(tanimoto(bits[:1], bits[1:])[0, 0])


@dataclass
class CandidateChecker:
    """Checks the candidates of one seed, or those made from nothing.

    Attributes:
        model: A Regression Transformer.
        limits: What a candidate must be.
        seed: Its seed; None: from nothing.
        known: Sequences of the training set, canonical.
        seen: What came before.
    """

    model: Any
    limits: MoleculeLimits
    seed: SeedTokens | None = None
    known: Container[str] = ()
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._keep = [(text, pattern_of(text, "--keep")) for text in self.limits.keep.split()]
        self._avoid = [(text, pattern_of(text, "--avoid")) for text in self.limits.avoid.split()]
        self._molecules = self.model.config.language not in ("protein", "reaction")

    def first_reason(self, sequence: str | None, tokens: int) -> tuple[str, float]:
        """Return the first reason against a candidate, empty if none so far, and its similarity to the seed.

        Args:
            sequence: From `canonical_of`.
            tokens: How many tokens it was written with.
        """
        alike = math.nan
        if sequence is None:
            return "invalid", alike
        if self.seed is not None:
            alike = similarity(self.model, self.seed.text, sequence)
            if sequence == self.seed.text:
                return "the seed itself", alike
        if sequence in self.seen:
            return "duplicate", alike
        self.seen.add(sequence)
        return self._reason(sequence, tokens, alike), alike

    def _reason(self, sequence: str, tokens: int, alike: float) -> str:
        if self._molecules and (reason := self._of_molecule(sequence, tokens)):
            return reason
        if sequence in self.known:
            return "in training set"
        return "similarity" if alike < self.limits.similarity else ""

    def _of_molecule(self, sequence: str, tokens: int) -> str:
        molecule = parse(sequence)
        assert molecule is not None  # it was written from one
        if molecule.GetNumHeavyAtoms() < _STUB * self._expected(tokens):
            return "stub"
        if any(not molecule.HasSubstructMatch(pattern) for _, pattern in self._keep):
            return "keep"
        if any(molecule.HasSubstructMatch(pattern) for _, pattern in self._avoid):
            return "avoid"
        return ""

    def _expected(self, tokens: int) -> float:
        """Return the heavy atoms that a candidate should have: its seed's, or from nothing half of its tokens.

        One of less than half of them is a stub: SELFIES end where an atom has no bond left, and the rest is lost.
        """
        if self.seed is None:
            return _STUB * tokens
        molecule = parse(self.seed.text)
        return 0.0 if molecule is None else float(molecule.GetNumHeavyAtoms())


def verified_by(model: Any, names: Sequence[str], *, rdkit: bool = True) -> dict[str, str]:
    """Return who says what a sequence has: "RDKit" for the properties that it computes, else "model".

    Of proteins "sequence" for the properties that follow from the letters (`seqchem.proteins.PEPTIDE_PROPERTIES`).

    Args:
        model: A Regression Transformer.
        names: Properties; upper and lower case are the same in the names of computed ones.
        rdkit: False: always the model.
    """
    who, computed = {"protein": ("sequence", PEPTIDE_PROPERTIES), "reaction": ("", {})}.get(
        model.config.language, ("RDKit", PROPERTIES)
    )
    return {name: who if rdkit and name.lower() in computed else "model" for name in names}


def measured(
    model: Any, sequences: Sequence[str], verified: Mapping[str, str], *, batch_size: int, predict: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what sequences have, and what the model predicts of them.

    Args:
        model: A Regression Transformer.
        sequences: N canonical ones.
        verified: From `verified_by`.
        batch_size: Rows at once.
        predict: Whether to predict what is computed, too.

    Returns:
        Property -> (N,) obtained, and property -> (N,) predicted.
    """
    from seqchem.prediction.predict import predict_properties

    asked = [name for name, who in verified.items() if predict or who == "model"]
    if not sequences:
        return {name: np.empty(0) for name in verified}, {name: np.empty(0) for name in asked}
    predicted: dict[str, np.ndarray] = {}
    if asked:
        found = predict_properties(model, sequences, asked, batch_size=batch_size)
        predicted = {name: found[name].values for name in asked}
    lowered = {name: name.lower() for name, who in verified.items() if who != "model"}
    compute = peptide_properties if model.config.language == "protein" else calculate
    computed = compute(lowered.values(), sequences)
    return {n: computed[lowered[n]] if n in lowered else predicted[n] for n in verified}, predicted


def off_goal(asked: Mapping[str, float], obtained: Mapping[str, float], widths: Mapping[str, float]) -> str:
    """Return "out of tolerance" where a property is too far from its goal, or not known; empty otherwise."""
    for name, value in asked.items():
        if not abs(obtained[name] - value) <= widths[name]:  # NaN is too far
            return "out of tolerance"
    return ""


def goal_warnings(model: Any, goals: Mapping[str, float]) -> tuple[str, ...]:
    """Return words on goals outside the trained range, of which the model has seen no example.

    Args:
        model: A Regression Transformer.
        goals: Property of the model -> wanted value.

    Raises:
        UserError: A class is asked for that is none of the property's classes: it would be written as another.
    """
    told = []
    for name, value in goals.items():
        form = model.tokenizer.number_formats[name]
        if form.labels is not None and value not in form.labels:
            known = ", ".join(map(str, form.labels))
            raise UserError(f"{name}={value:g}: {name} is one of the classes {known}")
        if form.outside(value):
            told.append(f"{name}={value:g} lies outside the trained range, {form.minimum:g} to {form.maximum:g}")
    return tuple(told)


def goal_widths(model: Any, goals: Mapping[str, float | None], tolerance: float) -> dict[str, float]:
    """Return how far from its goal each property may be, in its unit.

    Args:
        model: A Regression Transformer; its number formats know the trained ranges.
        goals: Property -> tolerance in its unit; None takes the next.
        tolerance: Part of the trained range.
    """
    formats = model.tokenizer.number_formats
    return {
        name: tolerance * (formats[name].maximum - formats[name].minimum) if width is None else width
        for name, width in goals.items()
    }
