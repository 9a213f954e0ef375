"""Which episodes a data set holds, and which to play next.

Episode n belongs to part n % P of a mixture of P parts. A number of episodes takes the first ones. A number of
steps is shared evenly over the parts, and each part takes its first episodes until it has its share: as in a
replay buffer, a policy with short episodes then gives more of them. Either way the choice depends on the
episodes alone, not on the order in which they were finished.
"""

from __future__ import annotations

from collections.abc import Mapping


class Schedule:
    """The plan of one collection.

    Args:
        parts: How many parts the mixture has.
        episodes: Episodes to collect; 0 where `steps` counts.
        steps: Steps to collect, the last episode of each part whole; 0 where `episodes` counts.
        lengths: Number of a finished episode -> its steps; it may grow outside.
    """

    def __init__(self, parts: int, *, episodes: int, steps: int, lengths: Mapping[int, int]) -> None:
        self.parts, self.episodes, self.steps, self.lengths = parts, episodes, steps, lengths
        self._next = list(range(parts))  # of each part, the first episode that was not begun
        self._gathered = [0] * parts  # steps of finished episodes before that one
        for part in range(parts):
            self._skip(part)

    def begin(self) -> int | None:
        """Return the number of an episode that is wanted and was not begun, or None; it counts as begun."""
        number = self._first() if self.steps == 0 else self._shortest()
        if number is not None:
            part = number % self.parts
            self._next[part] += self.parts
            self._skip(part)
        return number

    def finish(self, number: int, length: int) -> None:
        """Take note of the end of an episode that `begin` gave."""
        self._gathered[number % self.parts] += length

    def settled(self) -> bool:
        """Tell whether no further episode will be wanted, whatever those being played turn out to be."""
        if self.steps == 0:
            return self._first() is None
        return all(self._gathered[part] >= self._share(part) for part in range(self.parts))

    def chosen(self) -> list[int]:
        """Return the numbers of the data set in ascending order, or fewer where some are not finished."""
        if self.steps == 0:
            return [number for number in range(self.episodes) if number in self.lengths]
        return sorted(number for part in range(self.parts) for number in self._prefix(part))

    def complete(self) -> bool:
        """Tell whether all that was asked for is there."""
        if self.steps == 0:
            return len(self.chosen()) == self.episodes
        return all(
            sum(self.lengths[number] for number in self._prefix(part)) >= self._share(part)
            for part in range(self.parts)
        )

    def _share(self, part: int) -> int:
        return self.steps // self.parts + (part < self.steps % self.parts)

    def _prefix(self, part: int) -> list[int]:
        numbers, total, number = [], 0, part
        while total < self._share(part) and number in self.lengths:
            numbers.append(number)
            total += self.lengths[number]
            number += self.parts
        return numbers

    def _skip(self, part: int) -> None:
        """Go past episodes that were finished before; an interruption may have left gaps between them."""
        while (number := self._next[part]) in self.lengths:
            self._gathered[part] += self.lengths[number]
            self._next[part] += self.parts

    def _first(self) -> int | None:
        number = min(self._next)
        return number if number < self.episodes else None

    def _shortest(self) -> int | None:
        # Among parts in want of steps, the one with the fewest episodes begun: all parts grow side by side.
        wanting = [part for part in range(self.parts) if self._gathered[part] < self._share(part)]
        return min((self._next[part] for part in wanting), default=None)
