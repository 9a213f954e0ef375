"""Nucleotide tokenizers: one id a base, the published Caduceus vocabulary, complement on ids.

`NucleotideTokenizer` turns text into numpy uint8 ids by one table look-up and back. What happens to
lower case (soft-masked) letters, IUPAC ambiguity codes and U is an option, and `census` counts them,
so that nothing becomes [UNK] unseen. The vocabulary is a field: a checkpoint with other ids brings
its own. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from seqsuite.errors import UserError, unknown_name

Text = str | bytes | bytearray | memoryview
"""What can be encoded."""

CADUCEUS_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N")
"""The vocabulary of the published Caduceus and HyenaDNA checkpoints, in id order."""

BASES = "ACGT"
IUPAC_AMBIGUOUS = "RYSWKMBDHV"
LOWER_POLICIES = ("upper", "n", "unk")
IUPAC_POLICIES = ("unk", "n")
URACIL_POLICIES = ("t", "unk")


@dataclass(frozen=True)
class Census:
    """How many letters of each kind a text holds (both cases together, but for `lower_case`).

    Attributes:
        length: All letters.
        lower_case: Lower case letters of any kind (soft-masked sequence).
        iupac: Ambiguity codes R Y S W K M B D H V.
        n: The letter N.
        uracil: The letter U.
        other: Everything that is no nucleotide code.
    """

    length: int = 0
    lower_case: int = 0
    iupac: int = 0
    n: int = 0
    uracil: int = 0
    other: int = 0

    def __add__(self, other: Census) -> Census:
        return Census(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def to_dict(self) -> dict[str, int]:
        """Return the counts as plain integers by name."""
        return asdict(self)


class TokenBatch(NamedTuple):
    """Padded rows of ids (B, L) uint8 and the unpadded length of each row (B,) int64."""

    ids: np.ndarray
    lengths: np.ndarray


def _both_cases(letters: str) -> np.ndarray:
    return np.frombuffer((letters + letters.lower()).encode(), dtype=np.uint8)


def _as_bytes(text: Text) -> np.ndarray:
    # "replace" keeps one byte a character, so that positions in the ids are positions in the text.
    raw = text.encode("ascii", "replace") if isinstance(text, str) else text
    return np.frombuffer(raw, dtype=np.uint8)


@dataclass(frozen=True)
class NucleotideTokenizer:
    """One id a nucleotide, as published with Caduceus unless told otherwise.

    Attributes:
        tokens: The vocabulary; a token's place is its id. A, C, G, T and at least one of N and [UNK] are needed.
        lower: Lower case letters: ``"upper"`` reads them as upper case (Caduceus), ``"n"`` hides soft-masked
            sequence as N, ``"unk"`` gives [UNK] (HyenaDNA).
        iupac: Ambiguity codes: ``"unk"`` gives [UNK] (as published), ``"n"`` gives N.
        uracil: The letter U: ``"t"`` reads RNA as DNA, ``"unk"`` gives [UNK] (as published).
        padding_side: ``"left"`` (as published) or ``"right"``.

    Source: the tokenizer of the published Caduceus checkpoints (ids, upper-casing, [SEP] appended, left padding).
    """

    tokens: tuple[str, ...] = CADUCEUS_TOKENS
    lower: str = "upper"
    iupac: str = "unk"
    uracil: str = "t"
    padding_side: str = "left"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        for name, allowed in (
            ("lower", LOWER_POLICIES),
            ("iupac", IUPAC_POLICIES),
            ("uracil", URACIL_POLICIES),
            ("padding_side", ("left", "right")),
        ):
            if getattr(self, name) not in allowed:
                raise unknown_name(f"tokenizer option {name} =", str(getattr(self, name)), allowed)
        if len(set(self.tokens)) != len(self.tokens) or len(self.tokens) > 255:
            raise UserError("The tokenizer's vocabulary must hold at most 255 tokens, each once.")
        missing = [base for base in BASES if base not in self.tokens]
        if missing or not {"N", "[UNK]"} & set(self.tokens):
            raise UserError(
                f"The tokenizer's vocabulary lacks {missing or 'both N and [UNK]'}; it needs A, C, G, T and N."
            )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, before any padding of the embedding table."""
        return len(self.tokens)

    def id_of(self, token: str) -> int:
        """Return the id of `token`, or raise an error that lists the vocabulary."""
        if token not in self.tokens:
            raise unknown_name("token", token, self.tokens)
        return self.tokens.index(token)

    @property
    def pad_id(self) -> int:
        """Id of [PAD]."""
        return self.id_of("[PAD]")

    @property
    def mask_id(self) -> int:
        """Id of [MASK]."""
        return self.id_of("[MASK]")

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
    def special_ids(self) -> np.ndarray:
        """Ids that stand for no letter of a sequence ([UNK] does): uint8."""
        named = [i for i, token in enumerate(self.tokens) if token.startswith("[") and token != "[UNK]"]
        return np.array(named, dtype=np.uint8)

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
        """Return the ids of `text`, one a letter: (L,) uint8, or (L + 1,) with [SEP] appended as published."""
        ids = self._lookup[_as_bytes(text)]
        return np.append(ids, np.uint8(self.id_of("[SEP]"))) if add_special_tokens else ids

    def encode_batch(
        self, texts: Sequence[Text], *, add_special_tokens: bool = False, length: int | None = None
    ) -> TokenBatch:
        """Encode several texts and pad them with [PAD] on `padding_side` to the longest, or to `length`.

        Raises:
            UserError: A text is longer than `length`.
        """
        rows = [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        longest = int(lengths.max(initial=0))
        if length is not None and longest > length:
            raise UserError(f"Sequence {int(lengths.argmax())} has {longest} tokens, more than the {length} asked for.")
        ids = np.full((len(rows), longest if length is None else length), self.pad_id, dtype=np.uint8)
        for out, row in zip(ids, rows, strict=True):
            if self.padding_side == "left":
                out[len(out) - len(row) :] = row
            else:
                out[: len(row)] = row
        return TokenBatch(ids, lengths)

    def decode(self, ids: np.ndarray | Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the letters of a row of ids; [UNK] becomes ``?``, other special tokens vanish or keep their name.

        Raises:
            ValueError: An id lies outside the vocabulary.
        """
        row = np.asarray(ids, dtype=np.int64).reshape(-1)
        if row.size and not (0 <= row.min() and row.max() < len(self.tokens)):
            raise ValueError(f"ids run from {row.min()} to {row.max()}; the vocabulary has {len(self.tokens)} tokens")
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
        counts = np.bincount(_as_bytes(text), minlength=256)
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

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description, for run folders, exports and cache manifests."""
        return {"type": "nucleotide"} | asdict(self) | {"tokens": list(self.tokens)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> NucleotideTokenizer:
        """Rebuild the tokenizer that `to_dict` described.

        Raises:
            UserError: Another type of tokenizer, or an unknown key.
        """
        values = dict(settings)
        kind = values.pop("type", "nucleotide")
        if kind != "nucleotide":
            raise unknown_name("tokenizer type", str(kind), ["nucleotide"])
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("tokenizer key", key, known)
        return cls(**values)

    def fingerprint(self) -> str:
        """Return a short checksum of all that decides the ids of a text (padding does not)."""
        settings = self.to_dict()
        del settings["padding_side"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
