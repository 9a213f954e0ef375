"""What a search asks of a model: the next token's logits of many rows, which are tiled, selected and continued.

    engine = make_engine(model, "cached", window=79)
    engine.start(prefix)                        # (N, P) tokens, one row an environment
    logits = engine.expand(256)                 # 256 rows of each; their logits (N, 256, V + 1)
    engine.append(tokens)                       # (N, 256)
    engine.select(indices)                      # (N, K): the rows that go on

A row longer than the window loses whole transitions from the left, and its positions start again. "plain" computes
the whole window for every token, as the published planner does. "cached" gives the same numbers from what it keeps.
"sliding" keeps what was computed in front of the window's new start: fewer operations, other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.planning.options import EngineName
from seqsuite.errors import UserError, unknown_name


class Engine:
    """Rows of tokens and their logits; subclasses say how these are computed.

    Args:
        model: In evaluation mode.
        window: Tokens that the model may see at once; None: its block.

    Attributes:
        tokens: (N, R, L) the rows of each environment so far.

    Raises:
        UserError: The window is longer than the model's block, or shorter than a transition.
    """

    tokens: Tensor

    def __init__(self, model: TrajectoryTransformer, window: int | None = None) -> None:
        self.model = model
        self.period = model.config.transition_dim
        self.window = model.config.block_size if window is None else window
        if not 1 <= self.window <= model.config.block_size:
            raise UserError(f"plan: the window of {self.window} tokens is not within the model's block")

    def start(self, prefix: Tensor) -> None:
        """Begin with one row an environment.

        Args:
            prefix: (N, P) tokens, from the first number of a transition on.
        """
        if prefix.ndim != 2 or not prefix.shape[1]:
            raise ValueError(f"prefix must be (N, P) with P at least 1, got {tuple(prefix.shape)}")
        self.tokens = prefix[:, None]

    def expand(self, times: int) -> Tensor:
        """Repeat the rows of every environment, all of them one time after the other, and return their logits."""
        self.tokens = self.tokens.repeat(1, times, 1)
        return self.logits()

    def select(self, index: Tensor) -> None:
        """Go on with the rows that (N, K) names."""
        self.tokens = self.tokens.gather(1, index[..., None].expand(-1, -1, self.tokens.shape[2]))

    def append(self, tokens: Tensor) -> None:
        """Continue each row with a token: (N, R)."""
        self.tokens = torch.cat((self.tokens, tokens[..., None]), -1)

    def logits(self) -> Tensor:
        """Return the logits (N, R, V + 1) of each row's next token."""
        raise NotImplementedError

    def dropped(self, length: int) -> int:
        """Return how many tokens a row of that length has lost: whole transitions, until it fits the window.

        Raises:
            UserError: Nothing would be left.
        """
        over = max(0, length - self.window)
        gone = -(-over // self.period) * self.period
        if gone >= length:
            raise UserError(f"plan: a window of {self.window} tokens leaves nothing of a row of {length}; raise it")
        return gone

    @property
    def flat(self) -> Tensor:
        """(N R, L) the rows of all environments."""
        return self.tokens.flatten(0, 1)


class PlainEngine(Engine):
    """Computes the whole window of every row for every token."""

    def logits(self) -> Tensor:
        """Return the logits (N, R, V + 1) of each row's next token."""
        rows = self.flat[:, self.dropped(self.flat.shape[1]) :]
        return self.model(rows)[:, -1].unflatten(0, self.tokens.shape[:2])


class StateEngine(Engine):
    """Carries the state of recurrent mixers from token to token; exact, a window that moves is read anew.

    Args:
        model: With a mixer that has a state of constant size.
        window: See `Engine`.
        slide: Never read the window anew: the state remembers what has left it.
    """

    def __init__(self, model: TrajectoryTransformer, window: int | None = None, *, slide: bool = False) -> None:
        super().__init__(model, window)
        self.slide = slide

    def start(self, prefix: Tensor) -> None:
        """Begin with one row an environment; see `Engine.start`."""
        super().start(prefix)
        self._state: Any = None
        self._read = 0  # tokens that the state has seen
        self._gone = self.dropped(prefix.shape[1])
        self._last: Tensor

    def expand(self, times: int) -> Tensor:
        """Repeat the rows, which share their logits, and return these; see `Engine.expand`."""
        logits = self.logits()
        rows = torch.arange(logits.shape[1], device=logits.device).repeat(times)
        self.select(rows.expand(len(logits), -1))
        return logits.repeat(1, times, 1)

    def select(self, index: Tensor) -> None:
        """Go on with the rows that (N, K) names, and their states."""
        count = self.tokens.shape[1]
        super().select(index)
        if self._state is not None:
            shift = torch.arange(len(index), device=index.device)[:, None] * count
            flat = (index + shift).flatten()
            self._state = _on_state(lambda part: part[flat], self._state)
            self._last = self._last[flat]

    def logits(self) -> Tensor:
        """Return the logits (N, R, V + 1) of each row's next token."""
        length = self.tokens.shape[2]
        gone = self.dropped(length)
        if gone != self._gone and not self.slide:
            self._state, self._read = None, 0
        self._gone = gone
        start = max(self._read, gone)
        if start < length:
            place = {"position": start - gone, "dim": start % self.period}
            features, self._state = self.model.prefill(self.flat[:, start:], self._state, **place)
            self._last, self._read = features[:, -1], length
        head = self.model.head[(length - 1) % self.period]
        return torch.nn.functional.linear(self._last, head).unflatten(0, self.tokens.shape[:2])


def make_engine(model: TrajectoryTransformer, engine: EngineName = "cached", *, window: int | None = None) -> Engine:
    """Return an engine by name.

    Args:
        model: The model; put in evaluation mode.
        engine: "plain", "cached" or "sliding"; see the module.
        window: Tokens that the model may see at once; None: its block.

    Raises:
        UserError: No such engine, or the model's mixers carry no state.
    """
    from seqrl.planning.attention_engine import AttentionEngine

    model.eval()
    if engine == "plain":
        return PlainEngine(model, window)
    if engine not in ("cached", "sliding"):
        raise unknown_name("engine", engine, ("cached", "plain", "sliding"))
    slide = engine == "sliding"
    if model.value_blind:
        return AttentionEngine(model, window, slide=slide)
    if not model.recurrent:
        raise UserError(f"plan: the mixer {model.config.mixer!r} carries no state; plan with the engine 'plain'")
    return StateEngine(model, window, slide=slide)


def _on_state(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to every tensor of a state of nested tuples."""
    if isinstance(state, Tensor):
        return function(state)
    if not isinstance(state, tuple):
        return state
    parts = [_on_state(function, part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
