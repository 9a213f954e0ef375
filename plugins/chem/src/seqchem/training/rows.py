"""Texts of a training run as ids: every sequence and every number once, put together when a row is asked for.

rows = TokenRows.of(tokenizer, sequences, {"qed": values})
rows.ids(7, ["qed"]) == tokenizer.encode(tokenizer.expression({"qed": values[7]}, sequences[7]))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TokenRows:
    """Tokenised rows.

    Attributes:
        tokens: Ids of all sequences behind each other.
        offsets: (N + 1,) where each begins.
        numbers: Property -> (N, width) ids of its number.
        present: Property -> (N,) whether the row has it.
        property_ids: Property -> its id.
        special: Ids of [CLS], [SEP], [PAD] and the separator.
        even: Whether a text is made even by a [PAD] before [SEP].
    """

    tokens: np.ndarray
    offsets: np.ndarray
    numbers: dict[str, np.ndarray]
    present: dict[str, np.ndarray]
    property_ids: dict[str, int]
    special: tuple[int, int, int, int]
    even: bool

    @classmethod
    def of(cls, tokenizer: Any, sequences: Sequence[str], values: Mapping[str, np.ndarray]) -> TokenRows:
        """Tokenise rows.

        Args:
            tokenizer: An `ExpressionTokenizer` that has the properties' number formats.
            sequences: In its language.
            values: (N,) of each property in the user's units, NaN where there is none. Those outside the trained range
                are moved to its border.
        """
        found = [sequence_ids(tokenizer, text) for text in sequences]
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        tokens = np.fromiter((token for ids in found for token in ids), np.int32, int(lengths.sum()))
        numbers, present = {}, {}
        index = {token: number for number, token in enumerate(tokenizer.vocabulary)}
        for name, column in values.items():
            width = len(tokenizer.slot_ids(name))
            present[name] = ~np.isnan(column)
            numbers[name] = np.zeros((len(column), width), np.int32)
            for row in np.flatnonzero(present[name]):
                written = tokenizer.number_tokens(name, float(column[row]), clip=True)
                numbers[name][row] = [index[token] for token in written]
        special = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, tokenizer.separator_id)
        ids = {name: tokenizer.property_id(name) for name in values}
        return cls(tokens, np.concatenate(([0], lengths.cumsum())), numbers, present, ids, special, tokenizer.pad_even)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Return the tokens of each sequence, (N,)."""
        return np.diff(self.offsets)

    def sequence(self, row: int) -> list[int]:
        """Return the ids of a sequence alone."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]].tolist()

    def ids(self, row: int, names: Sequence[str], sequence: Sequence[int] | None = None) -> list[int]:
        """Return the ids of a row's text.

        Args:
            row: Which.
            names: The properties that stand in it, in this order; the row must have them.
            sequence: Another way to write its sequence.
        """
        cls, sep, pad, separator = self.special
        body: list[int] = []
        for name in names:
            body += [self.property_ids[name], *self.numbers[name][row].tolist(), separator]
        body += self.sequence(row) if sequence is None else sequence
        if self.even and len(body) % 2:
            body.append(pad)
        return [cls, *body, sep]

    def names(self, row: int) -> list[str]:
        """Return the properties that a row has."""
        return [name for name, present in self.present.items() if present[row]]

    def length_counts(self) -> dict[str, int]:
        """Return how many sequences have how many tokens, by the number of tokens."""
        counts = Counter(self.lengths.tolist())
        return {str(length): counts[length] for length in sorted(counts)}

    def longest_text(self) -> np.ndarray:
        """Return the tokens of each row with all its properties, (N,)."""
        total = self.lengths + 3
        for name, present in self.present.items():
            total = total + present * (self.numbers[name].shape[1] + 2)
        return total


def sequence_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a sequence without what stands around it.

    Args:
        tokenizer: An `ExpressionTokenizer`.
        text: In its language.
    """
    ids: list[int] = tokenizer.encode(text)[1:-1]
    return ids[:-1] if ids and ids[-1] == tokenizer.pad_token_id else ids
