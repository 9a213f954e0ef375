"""What all tokenizers share: a vocabulary, special tokens, padding, and a description that survives JSON.

A tokenizer is a frozen dataclass whose fields decide everything it does. `to_dict` writes them, `from_dict` reads
them back, `fingerprint` is a checksum of those that decide the ids of a text (padding, special tokens and the
genetic code do not).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from seqsuite.errors import UserError, unknown_name

Text = str | bytes | bytearray | memoryview
"""What can be encoded."""

PADDING_SIDES = ("left", "right")
_NOT_IN_IDS = ("padding_side", "prefix", "suffix", "code")


class TokenBatch(NamedTuple):
    """Padded rows of ids (B, L), uint8 or int32, and the unpadded length of each row (B,) int64."""

    ids: np.ndarray
    lengths: np.ndarray


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


class Tokenizer:
    """Base of the tokenizers: everything that follows from the vocabulary and the dataclass fields."""

    kind: ClassVar[str]
    dtype: ClassVar[type[np.generic]]

    @property
    def tokens(self) -> tuple[str, ...]:
        """The vocabulary; a token's place is its id."""
        raise NotImplementedError

    padding_side: str
    prefix: tuple[str, ...]
    suffix: tuple[str, ...]

    def encode(self, text: Text, *, add_special_tokens: bool = False) -> np.ndarray:
        """Return the ids of `text`."""
        raise NotImplementedError

    def _check_options(self, **allowed: Sequence[str]) -> None:
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise unknown_name(f"tokenizer option {name} =", str(getattr(self, name)), values)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, before any padding of the embedding table."""
        return len(self.tokens)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def id_of(self, token: str) -> int:
        """Return the id of `token`, or raise an error that lists the vocabulary."""
        if token not in self._index:
            raise unknown_name("token", token, self.tokens)
        return self._index[token]

    @property
    def pad_id(self) -> int:
        """Id of [PAD]."""
        return self.id_of("[PAD]")

    @property
    def mask_id(self) -> int:
        """Id of [MASK]."""
        return self.id_of("[MASK]")

    @cached_property
    def special_ids(self) -> np.ndarray:
        """Ids that stand for no letter of a sequence ([UNK] does): uint8."""
        named = [i for i, token in enumerate(self.tokens) if token.startswith("[") and token != "[UNK]"]
        return np.array(named, dtype=np.uint8)

    def _with_specials(self, ids: np.ndarray) -> np.ndarray:
        before, after = ([self.id_of(token) for token in tokens] for tokens in (self.prefix, self.suffix))
        return np.concatenate((before, ids, after)).astype(ids.dtype)

    def _checked_row(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        row = np.asarray(ids, dtype=np.int64).reshape(-1)
        if row.size and not (0 <= row.min() and row.max() < len(self.tokens)):
            raise ValueError(f"ids run from {row.min()} to {row.max()}; the vocabulary has {len(self.tokens)} tokens")
        return row

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
        ids = np.full((len(rows), longest if length is None else length), self.pad_id, dtype=self.dtype)
        for out, row in zip(ids, rows, strict=True):
            if self.padding_side == "left":
                out[len(out) - len(row) :] = row
            else:
                out[: len(row)] = row
        return TokenBatch(ids, lengths)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description, for run folders, exports and cache manifests."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"type": self.kind} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Rebuild the tokenizer that `to_dict` described.

        Raises:
            UserError: Another type of tokenizer, or an unknown key.
        """
        values = dict(settings)
        kind = values.pop("type", cls.kind)
        if kind != cls.kind:
            raise unknown_name("tokenizer type", str(kind), [cls.kind])
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for key in values:
            if key not in known:
                raise unknown_name("tokenizer key", key, known)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def fingerprint(self) -> str:
        """Return a short checksum of what decides the ids of a text: not padding, special tokens, genetic code."""
        settings = {key: value for key, value in self.to_dict().items() if key not in _NOT_IN_IDS}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
