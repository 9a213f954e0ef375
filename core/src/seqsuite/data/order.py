"""The order of samples as a pure function of (seed, epoch, position), and random numbers per item.

A run's data state is then one integer, the position, and a killed run goes on where it was without
replaying anything. The permutation is a Feistel network over the smallest power of two that holds n
(Luby and Rackoff 1988) with cycle walking (Black and Rogaway 2002): no table, so a billion windows
cost nothing in any number of workers, and it never changes with a library's version. Its round
function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).

    epoch, index = ShuffledOrder(n=len(windows), seed=config.seed).locate(position)
    rng = item_rng(config.seed, position)
"""

from __future__ import annotations

import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 8


def _mix(value: int) -> int:
    """SplitMix64: one step of the counter and its finaliser, a bijection of 64-bit integers."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def item_seed(seed: int, *keys: int) -> int:
    """Return a 64-bit seed that is a pure function of `seed` and `keys` (epoch, index, ...).

    Args:
        seed: The run's seed.
        keys: Whole numbers that name the item; their order matters.
    """
    state = _GOLDEN
    # Mixed before each key is taken in, so that equal keys and swapped keys do not cancel.
    for key in (seed, *keys):
        state = _mix(_mix(state) ^ (key & _MASK))
    return state


def item_rng(seed: int, *keys: int) -> np.random.Generator:
    """Return a fresh NumPy generator for one item, seeded by `item_seed`.

    Args:
        seed: The run's seed.
        keys: Whole numbers that name the item (epoch, index, ...); their order matters.

    Returns:
        A generator that is a function of these numbers only.
    """
    return np.random.Generator(np.random.PCG64(item_seed(seed, *keys)))


class ShuffledOrder:
    """An endless pass over ``range(n)``, shuffled anew in every epoch.

    Args:
        n: Number of items, at least 1.
        seed: Seed of the order.

    Raises:
        ValueError: `n` is below 1, or a position is negative.
    """

    def __init__(self, n: int, seed: int) -> None:
        if n < 1:
            raise ValueError(f"an order needs at least one item, got n={n}")
        self.n = n
        self.seed = seed
        bits = max(2, (n - 1).bit_length())
        self._low = bits // 2
        self._high = bits - self._low
        self._epoch = -1
        self._keys: list[int] = []

    def locate(self, position: int) -> tuple[int, int]:
        """Return which sample stands at a place of the endless order.

        Args:
            position: 0, 1, 2, ... without end.

        Returns:
            ``(epoch, index)``.

        Raises:
            ValueError: The position is negative.
        """
        if position < 0:
            raise ValueError(f"a position is never negative, got {position}")
        epoch, rank = divmod(position, self.n)
        return epoch, self.index(epoch, rank)

    def index(self, epoch: int, rank: int) -> int:
        """Return which sample stands at a place of one epoch: a permutation of ``range(n)``.

        Args:
            epoch: 0, 1, 2, ...
            rank: The place, 0 to n - 1.

        Returns:
            The sample's index.
        """
        if epoch != self._epoch:
            self._keys = [item_seed(self.seed, epoch, number) for number in range(_ROUNDS)]
            self._epoch = epoch
        value = self._permute(rank)
        # Walking along the cycle until it is back inside keeps the map a bijection of range(n).
        while value >= self.n:
            value = self._permute(value)
        return value

    def _permute(self, value: int) -> int:
        """One bijection of the power of two: halves of unequal width swap places every round."""
        low, high = self._low, self._high
        for key in self._keys:
            right = value & ((1 << low) - 1)
            left = (value >> low) ^ (_mix(key ^ right) & ((1 << high) - 1))
            value = (right << high) | left
            low, high = high, low
        return value
