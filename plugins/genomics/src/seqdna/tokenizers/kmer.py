"""k-mer tokenizers: one id for k neighbouring bases, overlapping or end to end, with the complement on ids.

A k-mer with a letter that is no A, C, G, T is [UNK]; what becomes of the end of a text that fills no k-mer is an
option; `census` counts both. The reverse complement of a row of ids is exact: reversed, each id mapped to that of
the k-mer's other strand. `WordTokenizer` is the part that codons share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import groupby, product
from typing import ClassVar

import numpy as np

from seqdna.tokenizers.base import PADDING_SIDES, Census, Text, Tokenizer
from seqdna.tokenizers.nucleotide import BASES, CADUCEUS_TOKENS, URACIL_POLICIES, NucleotideTokenizer
from seqsuite.errors import UserError

SPECIAL_TOKENS = CADUCEUS_TOKENS[:7]
"""The special tokens of the published nucleotide vocabulary; k-mers follow them."""

RAGGED_POLICIES = ("drop", "unk", "error")
WORD_LOWER_POLICIES = ("upper", "unk")
MAX_K = 10


@dataclass(frozen=True)
class TokenCensus:
    """What became of a text.

    Attributes:
        letters: Its letters by kind.
        tokens: Tokens it gave.
        unknown: Those of them that are [UNK].
        dropped: Letters that are in no token (before the reading frame, or the ragged end).
    """

    letters: Census = field(default_factory=Census)
    tokens: int = 0
    unknown: int = 0
    dropped: int = 0

    def __add__(self, other: TokenCensus) -> TokenCensus:
        return TokenCensus(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_dict(self) -> dict[str, int]:
        """Return all counts as plain integers by name."""
        return self.letters.to_dict() | {"tokens": self.tokens, "unknown": self.unknown, "dropped": self.dropped}


class WordTokenizer(Tokenizer):
    """Tokens of `word` bases, every `step` bases from `skip` on: the common part of k-mers and codons."""

    dtype: ClassVar[type[np.generic]] = np.int32
    lower: str
    uracil: str
    ragged: str

    @property
    def word(self) -> int:
        """Bases a token."""
        raise NotImplementedError

    @property
    def step(self) -> int:
        """Bases from the start of one token to that of the next."""
        return self.word

    @property
    def skip(self) -> int:
        """Bases before the first token."""
        return 0

    def _check_words(self) -> None:
        for name in ("prefix", "suffix"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_options(
            lower=WORD_LOWER_POLICIES, uracil=URACIL_POLICIES, ragged=RAGGED_POLICIES, padding_side=PADDING_SIDES
        )

    @cached_property
    def tokens(self) -> tuple[str, ...]:  # type: ignore[override]
        """The special tokens, then all words over A, C, G, T in alphabetical order."""
        return (*SPECIAL_TOKENS, *("".join(word) for word in product(BASES, repeat=self.word)))

    @property
    def unk_id(self) -> int:
        """Id of [UNK]: a word with a letter that is no A, C, G, T."""
        return self.id_of("[UNK]")

    @cached_property
    def letters(self) -> NucleotideTokenizer:
        """How single letters are read."""
        return NucleotideTokenizer(lower=self.lower, uracil=self.uracil)

    @cached_property
    def complement(self) -> np.ndarray:
        """Id of the reverse complement of every id's word, identity for special tokens: (vocab_size,) int32."""
        code = np.arange(4**self.word)
        other = np.zeros_like(code)
        for place in range(self.word):
            other = other * 4 + 3 - (code >> (2 * place) & 3)
        first = len(SPECIAL_TOKENS)
        return np.concatenate((np.arange(first), first + other)).astype(self.dtype)

    def complement_map(self, size: int | None = None) -> dict[int, int]:
        """Return the complement over `size` ids; the spare ids of a padded embedding table map to themselves."""
        known = dict(enumerate(self.complement.tolist()))
        return {i: known.get(i, i) for i in range(size or len(self.tokens))}

    def reverse_complement(self, ids: np.ndarray) -> np.ndarray:
        """Return the other strand of rows of ids (..., L), read 5' to 3'; special tokens and [UNK] stay as they are.

        Of a row without special tokens. It equals the ids of the text's reverse complement where no letter was
        dropped; else the other strand's words start at the dropped end.
        """
        return self.complement[np.asarray(ids)][..., ::-1]

    def encode(self, text: Text, *, add_special_tokens: bool = False) -> np.ndarray:
        """Return the ids of `text`: (tokens,) int32, longer by `prefix` and `suffix` where asked for.

        Raises:
            UserError: A ragged end, where the policy is ``"error"``.
        """
        ids = self.encode_codes(self.letters.base_codes[self.letters.encode(text)])
        return self._with_specials(ids) if add_special_tokens else ids

    def encode_codes(self, codes: np.ndarray) -> np.ndarray:
        """Return the ids of bases given as 0, 1, 2, 3 for A, C, G, T and 4 for the rest, as `Genome.codes` has them.

        Args:
            codes: (L,) uint8.
        """
        codes = np.asarray(codes)[self.skip :]
        count, left = self._divide(len(codes))
        value, unknown = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
        for place in range(self.word):
            base = codes[place : place + (count - 1) * self.step + 1 : self.step] if count else codes[:0]
            value = value * 4 + (base & 3)
            unknown |= base > 3
        ids = np.where(unknown, self.unk_id, value + len(SPECIAL_TOKENS)).astype(self.dtype)
        if left and self.ragged == "error":
            raise UserError(
                f"The last {left} of {len(codes)} bases fill no token of {self.word}; cut them off, or choose the "
                "policy ragged='drop' or 'unk'."
            )
        return np.append(ids, self.dtype(self.unk_id)) if left and self.ragged == "unk" else ids

    def _divide(self, length: int) -> tuple[int, int]:
        """Return how many words `length` bases hold and how many bases are left at the end."""
        count = max((length - self.word) // self.step + 1, 0)
        return count, length - ((count - 1) * self.step + self.word if count else 0)

    def decode(self, ids: np.ndarray | Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the bases of a row of ids; those known from no word become ``?``.

        Raises:
            ValueError: An id lies outside the vocabulary, or overlapping words contradict each other.
        """
        row, special = self._checked_row(ids), set(self.special_ids.tolist())
        if skip_special_tokens:
            row = row[~np.isin(row, self.special_ids)]
        runs = groupby(row.tolist(), key=lambda i: i in special)
        return "".join(
            "".join(self.tokens[i] for i in run) if is_special else self._bases(np.array(list(run)))
            for is_special, run in runs
        )

    def _bases(self, row: np.ndarray) -> str:
        """Lay the words of a row without special tokens over each other, `step` bases apart."""
        known = row != self.unk_id
        codes = np.full((len(row) - 1) * self.step + self.word, 4, dtype=np.uint8)
        start = np.arange(len(row))[known] * self.step
        for place in range(self.word):
            base = (row[known] - len(SPECIAL_TOKENS)) >> (2 * (self.word - 1 - place)) & 3
            before = codes[start + place]
            if ((before != 4) & (before != base)).any():
                raise ValueError(f"overlapping {self.word}-mers contradict each other; these ids are of no sequence")
            codes[start + place] = base
        return np.frombuffer(b"ACGT?", dtype=np.uint8)[codes].tobytes().decode()

    def census(self, text: Text) -> TokenCensus:
        """Count the letters, the tokens they give, and what the policies act upon."""
        ids, letters = self.encode(text), self.letters.census(text)
        inside = max(letters.length - self.skip, 0)
        left = 0 if self.ragged == "unk" else self._divide(inside)[1]
        dropped = letters.length - inside + left
        return TokenCensus(letters, len(ids), int(np.count_nonzero(ids == self.unk_id)), dropped)


@dataclass(frozen=True)
class KmerTokenizer(WordTokenizer):
    """One id for k bases: seven special tokens, then all 4^k k-mers in alphabetical order.

    Attributes:
        k: Bases a token, 1 to 10.
        stride: k (the default) puts k-mers end to end, 1 lets them overlap, one starting at every base.
        lower: Lower case letters: ``"upper"`` reads them as upper case, ``"unk"`` makes their k-mers [UNK].
        uracil: The letter U: ``"t"`` reads RNA as DNA, ``"unk"`` makes its k-mers [UNK].
        ragged: The end of a text that fills no k-mer: ``"drop"`` leaves it out, ``"unk"`` makes it one [UNK],
            ``"error"`` refuses the text.
        padding_side: ``"left"`` or ``"right"``.
        prefix: Special tokens put before a sequence where they are asked for.
        suffix: Special tokens put after it.

    Raises:
        UserError: An option has no such value.
    """

    kind: ClassVar[str] = "kmer"

    k: int = 6
    stride: int | None = None
    lower: str = "upper"
    uracil: str = "t"
    ragged: str = "drop"
    padding_side: str = "left"
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ("[SEP]",)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise UserError(f"A k-mer can have 1 to {MAX_K} bases, not {self.k}.")
        object.__setattr__(self, "stride", self.k if self.stride is None else self.stride)
        if self.stride not in (1, self.k):
            raise UserError(f"The stride of {self.k}-mers is 1 (overlapping) or {self.k} (end to end): {self.stride}.")
        self._check_words()

    @property
    def word(self) -> int:
        """Bases a token: k."""
        return self.k

    @property
    def step(self) -> int:
        """Bases from the start of one token to that of the next: the stride."""
        return self.stride or self.k
