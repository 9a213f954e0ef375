"""Codon tokenizer: 64 codons and special tokens in a reading frame, translation by any NCBI genetic code and back.

The genetic codes are Biopython's tables. The idea of codons as tokens of a genome model with all its frames follows
Life-Code (Liu et al. 2025).

    codons = CodonTokenizer(code=11)
    protein = codons.translate("ATGGCTTAA")
    dna = codons.back_translate(protein, usage=codon_usage(["ATGGCTTAA"]))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from seqdna.tokenizers.base import Text
from seqdna.tokenizers.kmer import SPECIAL_TOKENS, WordTokenizer
from seqsuite.errors import UserError, unknown_name

FRAMES = (1, 2, 3, -1, -2, -3)
"""The six reading frames: offset 0, 1, 2 on the given strand, then on the other one."""


def codon_usage(sequences: Iterable[Text]) -> dict[str, int]:
    """Count the codons of coding sequences, each read from its first base; those with a letter but ACGTU are left out.

    Args:
        sequences: DNA or RNA texts, either case.
    """
    tokenizer, counts = CodonTokenizer(), Counter[int]()
    for text in sequences:
        counts.update(tokenizer.encode(text).tolist())
    del counts[tokenizer.unk_id]
    return {tokenizer.tokens[i]: count for i, count in sorted(counts.items())}


@dataclass(frozen=True)
class CodonTokenizer(WordTokenizer):
    """One id a codon: seven special tokens, then the 64 codons in alphabetical order.

    Attributes:
        code: NCBI number of the genetic code (1 standard, 11 bacterial, ...); it decides translation, not ids.
        frame: Bases to skip before the first codon: 0, 1 or 2.
        lower: Lower case letters: ``"upper"`` reads them as upper case, ``"unk"`` makes their codons [UNK].
        uracil: The letter U: ``"t"`` reads RNA as DNA, ``"unk"`` makes its codons [UNK].
        ragged: One or two bases left at the end: ``"drop"`` leaves them out, ``"unk"`` makes them one [UNK],
            ``"error"`` refuses the text.
        padding_side: ``"left"`` or ``"right"``.
        prefix: Special tokens put before a sequence where they are asked for.
        suffix: Special tokens put after it.

    Raises:
        UserError: An unknown genetic code, or an option has no such value.
    """

    kind: ClassVar[str] = "codon"

    code: int = 1
    frame: int = 0
    lower: str = "upper"
    uracil: str = "t"
    ragged: str = "drop"
    padding_side: str = "left"
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ("[SEP]",)

    def __post_init__(self) -> None:
        if self.frame not in (0, 1, 2):
            raise UserError(f"A reading frame skips 0, 1 or 2 bases, not {self.frame}.")
        self._check_words()
        _ = self._table  # says so if there is no such code

    @property
    def word(self) -> int:
        """Bases a token: 3."""
        return 3

    @property
    def skip(self) -> int:
        """Bases before the first codon: the frame."""
        return self.frame

    @cached_property
    def _table(self) -> Any:
        from Bio.Data import CodonTable

        tables = CodonTable.unambiguous_dna_by_id
        if self.code not in tables:
            raise unknown_name("genetic code", str(self.code), [f"{number}" for number in tables])
        return tables[self.code]

    @cached_property
    def amino_acids(self) -> tuple[str, ...]:
        """Amino acid of every id: ``*`` for a stop, ``X`` for [UNK], nothing for special tokens.

        A codon that a code reads either as a stop or as an amino acid counts as the amino acid here.
        """
        known = self._table.forward_table
        special = ["X" if token == "[UNK]" else "" for token in SPECIAL_TOKENS]
        return (*special, *(known.get(codon, "*") for codon in self.tokens[len(SPECIAL_TOKENS) :]))

    @property
    def start_codons(self) -> tuple[str, ...]:
        """Codons at which translation may start."""
        return tuple(self._table.start_codons)

    @property
    def stop_codons(self) -> tuple[str, ...]:
        """Codons that end translation."""
        return tuple(self._table.stop_codons)

    def codons(self, amino_acid: str) -> tuple[str, ...]:
        """Return the codons of an amino acid's letter, or of ``*``, in alphabetical order.

        Raises:
            UserError: No amino acid of this code.
        """
        found = self.stop_codons if amino_acid == "*" else self._codons_of.get(amino_acid, ())
        if not found:
            raise unknown_name(f"amino acid of genetic code {self.code}:", amino_acid, [*self._codons_of, "*", "X"])
        return tuple(sorted(found))

    @cached_property
    def _codons_of(self) -> dict[str, list[str]]:
        by_letter: dict[str, list[str]] = {}
        for codon, letter in sorted(self._table.forward_table.items()):
            by_letter.setdefault(letter, []).append(codon)
        return by_letter

    def translate(self, source: Text | np.ndarray, *, to_stop: bool = False, cds: bool = False) -> str:
        """Return the protein of a text, or of ids of this tokenizer.

        Args:
            source: DNA or RNA text (read in `frame`), or ids (L,); special tokens are skipped, [UNK] gives ``X``.
            to_stop: End before the first stop codon.
            cds: The source is one whole coding sequence: a start codon, which gives M whatever it codes elsewhere;
                a stop codon at the end, which is left out; none between; no base left over.

        Raises:
            UserError: Not a coding sequence though `cds` says so; names the codon, counted from 1.
        """
        ids = source if isinstance(source, np.ndarray) else self.encode(source)
        if cds:
            if not isinstance(source, np.ndarray) and (len(source) - self.frame) % 3:
                raise UserError(f"Not a coding sequence: {len(source) - self.frame} bases are no whole codons.")
            return self._translate_cds(ids)
        protein = "".join(self.amino_acids[i] for i in self._checked_row(ids).tolist())
        return protein.split("*", 1)[0] if to_stop else protein

    def _translate_cds(self, ids: np.ndarray) -> str:
        row = [i for i in self._checked_row(ids).tolist() if self.amino_acids[i]]
        if not row or self.tokens[row[0]] not in self.start_codons:
            found = self.tokens[row[0]] if row else "nothing"
            raise UserError(
                f"Not a coding sequence: codon 1 is {found}, genetic code {self.code} starts with "
                f"{', '.join(self.start_codons)}."
            )
        if self.tokens[row[-1]] not in self.stop_codons:
            raise UserError(
                f"Not a coding sequence: the last codon, {len(row)}, is {self.tokens[row[-1]]}, genetic code "
                f"{self.code} stops with {', '.join(self.stop_codons)}."
            )
        protein = "M" + "".join(self.amino_acids[i] for i in row[1:-1])
        if "*" in protein:
            raise UserError(f"Not a coding sequence: codon {protein.index('*') + 1} of {len(row)} is a stop.")
        return protein

    def back_translate(
        self,
        protein: str,
        usage: Mapping[str, float] | None = None,
        choose: str | np.random.Generator = "most_frequent",
    ) -> str:
        """Return DNA that translates to `protein`.

        Args:
            protein: Letters of amino acids; ``*`` gives a stop codon and X gives NNN.
            usage: How often each codon is used (DNA or RNA letters; counts or shares), for example from
                `codon_usage`; a codon it lacks counts 0. None takes all codons as equally frequent.
            choose: ``"most_frequent"`` (the first in alphabetical order among equals), or a generator to draw
                codons in proportion to `usage`.

        Raises:
            UserError: A letter that is no amino acid of this code, or a codon or frequency that makes no sense.
        """
        if isinstance(choose, str) and choose != "most_frequent":
            raise unknown_name("choice of codons", choose, ["most_frequent"])
        weights = self._weights(usage)
        parts = []
        for place, letter in enumerate(protein.upper(), start=1):
            if letter == "X":
                parts.append("NNN")
                continue
            if letter != "*" and letter not in self._codons_of:
                raise UserError(
                    f"Letter {place} of the protein, {letter!r}, is no amino acid of genetic code {self.code}; "
                    "write X for an unknown one."
                )
            parts.append(_pick(self.codons(letter), weights, choose))
        return "".join(parts)

    def _weights(self, usage: Mapping[str, float] | None) -> dict[str, float]:
        weights = dict.fromkeys(self.tokens[len(SPECIAL_TOKENS) :], 0.0 if usage else 1.0)
        for codon, count in (usage or {}).items():
            name = codon.upper().replace("U", "T")
            if name not in weights:
                raise unknown_name("codon in the usage table:", codon, weights)
            if not 0 <= count < float("inf"):
                raise UserError(f"The usage table gives codon {codon} the frequency {count}; it must be 0 or more.")
            weights[name] += count
        return weights

    def six_frames(self, text: Text) -> dict[int, np.ndarray]:
        """Return the codon ids of all six reading frames: 1, 2, 3 on the given strand, -1, -2, -3 on the other.

        Frame -1 starts at the last base of `text`. One or two bases left at the end of a frame are dropped; the
        tokenizer's own `frame` plays no part.
        """
        codes = self.letters.base_codes[self.letters.encode(text)]
        other = np.where(codes < 4, 3 - codes, codes)[::-1]
        readers = {frame: replace(self, frame=abs(frame) - 1, ragged="drop") for frame in FRAMES}
        return {frame: reader.encode_codes(codes if frame > 0 else other) for frame, reader in readers.items()}


def _pick(codons: Sequence[str], weights: Mapping[str, float], choose: str | np.random.Generator) -> str:
    if isinstance(choose, str):
        return max(codons, key=lambda codon: weights[codon])
    share = np.array([weights[codon] for codon in codons])
    # An amino acid that the usage table has never seen leaves nothing to prefer.
    share = share / share.sum() if share.sum() else np.full(len(codons), 1 / len(codons))
    return str(choose.choice(list(codons), p=share))
