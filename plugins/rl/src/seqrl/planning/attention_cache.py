"""Keys and values that a search keeps: segments of rows that grow, are selected, and forget their beginning."""

from __future__ import annotations

import torch
from torch import Tensor


class Segment:
    """Keys and values of G rows in every layer, with room for more tokens.

    Args:
        layers: Number of layers.
        heads: H.
        capacity: Tokens that it has room for.
        like: Gives dtype and device; its last axis is D.

    Attributes:
        rows: G.
        first: Tokens before this one were forgotten.
        end: One behind the last token.
    """

    def __init__(self, layers: int, heads: int, capacity: int, like: Tensor) -> None:
        self.heads, self.capacity, self.like = heads, capacity, like
        # Two stores take turns, for a selection cannot be made in place; keys and values of the layers in turn.
        self._store, self._spare = ([like.new_empty(0)] * (2 * layers) for _ in range(2))
        self._views = list(self._store)
        self.rows, self.first, self.end = 0, 0, 0

    @property
    def length(self) -> int:
        """Tokens that are there."""
        return self.end - self.first

    def clear(self, rows: int) -> None:
        """Begin anew with no token."""
        self.rows, self.first, self.end = rows, 0, 0
        self._views = self._room(self._store, rows)

    def read(self, layer: int, written: int = 0) -> tuple[Tensor, Tensor]:
        """Return the keys and values (G H, length, K) of a layer, with as many tokens more as were written."""
        count = self.end + written - self.first
        keys, values = self._views[2 * layer], self._views[2 * layer + 1]
        return keys.narrow(1, self.first, count), values.narrow(1, self.first, count)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put the keys and values (G H, S, K) of S tokens behind the last one; `advance` follows."""
        self._views[2 * layer].narrow(1, self.end, keys.shape[1]).copy_(keys)
        self._views[2 * layer + 1].narrow(1, self.end, keys.shape[1]).copy_(values)

    def advance(self, tokens: int) -> None:
        """Count tokens as written."""
        self.end += tokens

    def forget(self, tokens: int) -> int:
        """Drop up to that many of the first tokens; return how many there were."""
        gone = min(tokens, self.length)
        self.first += gone
        return gone

    def select(self, index: Tensor, other: Segment, other_index: Tensor) -> None:
        """Go on with the rows (G',) that an index names, each followed by a row of another segment."""
        parts = [(part, rows) for part, rows in ((self, index), (other, other_index)) if part.length]
        views = self._room(self._spare, len(index))
        for place, view in enumerate(views):
            room, at = view.unflatten(0, (len(index), self.heads)), 0
            for part, rows in parts:
                given = part._views[place].unflatten(0, (part.rows, self.heads)).narrow(2, part.first, part.length)
                torch.index_select(given, 0, rows, out=room.narrow(2, at, part.length))
                at += part.length
        self._store, self._spare, self._views = self._spare, self._store, views
        self.rows, self.first, self.end = len(index), 0, sum(part.length for part, _ in parts)

    def _room(self, store: list[Tensor], rows: int) -> list[Tensor]:
        """Return each layer's room (G H, capacity, K) in a store, made larger where it is too small."""
        count = rows * self.heads
        if len(store[0]) < count:
            store[:] = [self.like.new_empty(count, self.capacity, self.like.shape[-1] // self.heads) for _ in store]
        return [part[:count] for part in store]
