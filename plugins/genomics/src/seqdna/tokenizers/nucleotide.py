"""Nucleotide tokenizers: one id a base, the published vocabularies, complement on ids.

`NucleotideTokenizer` turns text into numpy uint8 ids by one table look-up and back. What happens to
lower case (soft-masked) letters, IUPAC ambiguity codes and U is an option, and `census` counts them,
so that nothing becomes [UNK] unseen. The vocabulary is a field: a checkpoint with other ids brings
its own; `NucleotideTokenizer.published` names those of the public systems. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from seqdna.tokenizers.base import PADDING_SIDES, Census, Text, Tokenizer
from seqsuite.errors import UserError, unknown_name

CADUCEUS_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N")
"""The vocabulary of the published Caduceus and HyenaDNA checkpoints, in id order."""

PLANT_TOKENS = ("[PAD]", "[MASK]", "[UNK]", "A", "C", "G", "T")
"""The vocabulary of the published PlantCaduceus checkpoints (their embedding table has one spare row)."""

BASES = "ACGT"
IUPAC_AMBIGUOUS = "RYSWKMBDHV"
LOWER_POLICIES = ("upper", "n", "unk")
IUPAC_POLICIES = ("unk", "n")
URACIL_POLICIES = ("t", "unk")
PUBLISHED: dict[str, dict[str, Any]] = {
    "caduceus": {"uracil": "unk"},
    "hyenadna": {"uracil": "unk", "lower": "unk"},
    "hyenadna-standalone": {"uracil": "unk", "lower": "unk", "prefix": ("[CLS]",)},
    "plantcaduceus": {"tokens": PLANT_TOKENS, "uracil": "unk", "suffix": ()},
}
"""Settings of the public systems' tokenizers."""


def _both_cases(letters: str) -> np.ndarray:
    return np.frombuffer((letters + letters.lower()).encode(), dtype=np.uint8)


def as_bytes(text: Text) -> np.ndarray:
    """Return `text` as one byte a character: (L,) uint8; what is not ASCII becomes ``?``."""
    # "replace" keeps one byte a character, so that positions in the ids are positions in the text.
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    return np.frombuffer(raw, dtype=np.uint8)


@dataclass(frozen=True)
class NucleotideTokenizer(Tokenizer):
    """One id a nucleotide, as published with Caduceus unless told otherwise.

    Attributes:
        tokens: The vocabulary; a token's place is its id. A, C, G, T and at least one of N and [UNK] are needed.
        lower: Lower case letters: ``"upper"`` reads them as upper case (Caduceus), ``"n"`` hides soft-masked
            sequence as N, ``"unk"`` gives [UNK] (HyenaDNA).
        iupac: Ambiguity codes: ``"unk"`` gives [UNK] (as published), ``"n"`` gives N.
        uracil: The letter U: ``"t"`` reads RNA as DNA, ``"unk"`` gives [UNK] (as published).
        padding_side: ``"left"`` (as published) or ``"right"``.
        prefix: Special tokens put before a sequence where they are asked for.
        suffix: Special tokens put after it; [SEP] as published.

    Source: the tokenizer of the published Caduceus checkpoints (ids, upper-casing, [SEP] appended, left padding).
    """

    kind: ClassVar[str] = "nucleotide"
    dtype: ClassVar[type[np.generic]] = np.uint8

    tokens: tuple[str, ...] = CADUCEUS_TOKENS
    lower: str = "upper"
    iupac: str = "unk"
    uracil: str = "t"
    padding_side: str = "left"
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ("[SEP]",)

    def __post_init__(self) -> None:
        for name in ("tokens", "prefix", "suffix"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_options(
            lower=LOWER_POLICIES, iupac=IUPAC_POLICIES, uracil=URACIL_POLICIES, padding_side=PADDING_SIDES
        )
        if len(set(self.tokens)) != len(self.tokens) or len(self.tokens) > 255:
            raise UserError("The tokenizer's vocabulary must hold at most 255 tokens, each once.")
        missing = [base for base in BASES if base not in self.tokens]
        if missing or not {"N", "[UNK]"} & set(self.tokens):
            raise UserError(
                f"The tokenizer's vocabulary lacks {missing or 'both N and [UNK]'}; it needs A, C, G, T and N."
            )

    @classmethod
    def published(cls, system: str) -> NucleotideTokenizer:
        """Return the tokenizer of a public system, as its code works.

        Args:
            system: ``"caduceus"`` (upper-cases, appends [SEP]); ``"hyenadna"`` (the training code: lower case
                becomes [UNK], appends [SEP]); ``"hyenadna-standalone"`` (the inference script: [CLS] before as
                well, which no model saw in training); ``"plantcaduceus"`` (its own ids, no special tokens, N and
                ambiguity codes become [UNK]).

        Raises:
            UserError: An unknown system.
        """
        if system not in PUBLISHED:
            raise unknown_name("published tokenizer", system, PUBLISHED)
        return cls(**PUBLISHED[system])

    @property
    def n_id(self) -> int:
        """Id of N, or of [UNK] where the vocabulary has no N."""
        return self.tokens.index("N") if "N" in self.tokens else self.tokens.index("[UNK]")

    @property
    def unk_id(self) -> int:
        """Id of [UNK], or of N where the vocabulary has no [UNK]."""
        return self.tokens.index("[UNK]") if "[UNK]" in self.tokens else self.tokens.index("N")

    @cached_property
    def base_ids(self) -> np.ndarray:
        """Ids of A, C, G, T, in this order: (4,) uint8."""
        return np.array([self.tokens.index(base) for base in BASES], dtype=np.uint8)

    @cached_property
    def complement(self) -> np.ndarray:
        """Id of the complementary base for every id, identity for all but A, C, G, T: (vocab_size,) uint8."""
        return self._complement256[: len(self.tokens)].copy()

    def complement_map(self, size: int | None = None) -> dict[int, int]:
        """Return the complement over `size` ids; the spare ids of a padded embedding table map to themselves."""
        return {i: int(self._complement256[i]) for i in range(size or len(self.tokens))}

    @cached_property
    def base_codes(self) -> np.ndarray:
        """Table from id to 0, 1, 2, 3 for A, C, G, T and 4 for anything else: (256,) uint8."""
        table = np.full(256, 4, dtype=np.uint8)
        table[self.base_ids] = np.arange(4)
        return table

    @cached_property
    def _complement256(self) -> np.ndarray:
        table = np.arange(256, dtype=np.uint8)
        table[self.base_ids] = self.base_ids[::-1]
        return table

    @cached_property
    def _lookup(self) -> np.ndarray:
        table = np.full(256, self.unk_id, dtype=np.uint8)
        letters = {base: int(self.base_ids[i]) for i, base in enumerate(BASES)} | {"N": self.n_id}
        letters |= dict.fromkeys(IUPAC_AMBIGUOUS, self.n_id if self.iupac == "n" else self.unk_id)
        letters["U"] = letters["T"] if self.uracil == "t" else self.unk_id
        for letter, token in letters.items():
            table[ord(letter)] = token
            table[ord(letter.lower())] = {"upper": token, "n": self.n_id, "unk": self.unk_id}[self.lower]
        return table

    def encode(self, text: Text, *, add_special_tokens: bool = False) -> np.ndarray:
        """Return the ids of `text`, one a letter: (L,) uint8, or longer by `prefix` and `suffix` where asked for."""
        ids = self._lookup[as_bytes(text)]
        return self._with_specials(ids) if add_special_tokens else ids

    def decode(self, ids: np.ndarray | Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the letters of a row of ids; [UNK] becomes ``?``, other special tokens vanish or keep their name.

        Raises:
            ValueError: An id lies outside the vocabulary.
        """
        row = self._checked_row(ids)
        special = set(self.special_ids.tolist())
        names = ["?" if token == "[UNK]" else token for token in self.tokens]
        return "".join(names[i] for i in row.tolist() if not (skip_special_tokens and i in special))

    def reverse_complement(self, ids: np.ndarray) -> np.ndarray:
        """Return the other strand of rows of ids (..., L), read 5' to 3'; ids that are no base stay as they are.

        The whole row is reversed: take it before special tokens and padding are added, else they change sides.
        """
        return self._complement256[np.asarray(ids, dtype=np.uint8)][..., ::-1]

    def census(self, text: Text) -> Census:
        """Count what the policies of this tokenizer act upon."""
        counts = np.bincount(as_bytes(text), minlength=256)
        n, iupac, uracil = (int(counts[_both_cases(letters)].sum()) for letters in ("N", IUPAC_AMBIGUOUS, "U"))
        length = int(counts.sum())
        return Census(
            length=length,
            lower_case=int(counts[ord("a") : ord("z") + 1].sum()),
            iupac=iupac,
            n=n,
            uracil=uracil,
            other=length - n - iupac - uracil - int(counts[_both_cases(BASES)].sum()),
        )
