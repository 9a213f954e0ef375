"""The layers of a pooled backbone: pooling, unpooling, and blocks of a mixer or of a feed-forward layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.backbones.mlp_block import MLP
from seqsuite.backbones.norms import create_norm
from seqsuite.mixers.base import Mixer, State
from seqsuite.mixers.create import build_mixers
from seqsuite.ops import Seq

Blocks = Callable[[int], Iterable["ResidualBlock"]]
"""From a width to the blocks of one tier on one side."""


class DownPool(nn.Module):
    """Joins `pool` steps into one: (B, L pool, D) to (B, L, D'). Channels lie outermost in the joined vector."""

    def __init__(self, d_input: int, d_output: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.linear = nn.Linear(d_input * pool, d_output)

    def forward(self, x: Tensor) -> Tensor:
        """Join."""
        return self.linear(x.unflatten(1, (-1, self.pool)).transpose(2, 3).flatten(2))


class UpPool(nn.Module):
    """Makes `pool` steps of one: (B, L, D') to (B, L pool, D).

    Args:
        d_input: D'.
        d_output: D.
        pool: Steps made of one.
        shift: Say them to the next `pool` steps, not to the ones that they were made of: causal.
    """

    def __init__(self, d_input: int, d_output: int, pool: int, *, shift: bool = True) -> None:
        super().__init__()
        self.pool, self.shift = pool, shift
        self.linear = nn.Linear(d_input, d_output * pool)

    def expand(self, y: Tensor) -> Tensor:
        """Make the steps, without the shift."""
        return self._unpack(self.linear(y))

    def forward(self, y: Tensor) -> Tensor:
        """Make the steps and shift them; the first `pool` ones are zero then."""
        joined = self.linear(y)
        return self._unpack(F.pad(joined[:, :-1], (0, 0, 1, 0)) if self.shift else joined)

    def _unpack(self, joined: Tensor) -> Tensor:
        return joined.unflatten(2, (-1, self.pool)).transpose(2, 3).flatten(1, 2)


class ResidualBlock(nn.Module):
    """x + dropout(layer(norm(x))), in the three views; the layer is a mixer, or a map of single positions.

    Args:
        layer: A mixer, or a module from (..., D) to (..., D).
        norm: In front of it.
        dropout: Probability, on what it gives.
    """

    def __init__(self, layer: nn.Module, norm: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.layer, self.dropout = norm, layer, dropout

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        return not isinstance(self.layer, Mixer) or self.layer.causal

    def forward(self, x: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Run over (B, L, D)."""
        y = self.norm(x)
        return self._add(x, self.layer(y, seq=seq) if isinstance(self.layer, Mixer) else self.layer(y))

    def prefill(self, x: Tensor, state: State | None, *, seq: Seq | None = None) -> tuple[Tensor, State]:
        """Run over a chunk (B, L, D) from a state to a state; a map of single positions has none."""
        if not isinstance(self.layer, Mixer):
            return self(x), ()
        y, after = self.layer.prefill(self.norm(x), state, seq=seq)
        return self._add(x, y), after

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step (B, D)."""
        if not isinstance(self.layer, Mixer):
            return self(x_t), ()
        y, after = self.layer.step(self.norm(x_t), state)
        return self._add(x_t, y), after

    def init_state(self, batch_size: int, **options: Any) -> State:
        """Return the state before the first step; see `Mixer.init_state`."""
        return self.layer.init_state(batch_size, **options) if isinstance(self.layer, Mixer) else ()

    def _add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + F.dropout(y, self.dropout, self.training)


def layer_norm(width: int) -> nn.Module:
    """Return the layer norm that is used where no other is given."""
    return create_norm("layer", width, 1e-5)


def residual_blocks(
    mixer: str,
    n_layer: int,
    *,
    mixer_options: Mapping[str, Any] | None = None,
    ff: int = 2,
    norm: Callable[[int], nn.Module] = layer_norm,
    dropout: float = 0.0,
    wrap: Callable[[Mixer], Mixer] | None = None,
) -> Blocks:
    """Return the function from a width to `n_layer` mixers, each followed by a feed-forward layer.

    Args:
        mixer: A name, or a pattern as in `seqsuite.mixers.create`.
        n_layer: Number of mixers.
        mixer_options: Their options, by name.
        ff: Inner width of the feed-forward layers in units of the width; 0: none.
        norm: From a width to the norm in front of every layer.
        dropout: On what every layer gives.
        wrap: What becomes of each mixer: two directions of it, say.
    """

    def blocks(width: int) -> Iterator[ResidualBlock]:
        for made in build_mixers(mixer, n_layer, width, mixer_options or {}):
            yield ResidualBlock(made if wrap is None else wrap(made), norm(width), dropout=dropout)
            if ff:
                yield ResidualBlock(MLP(width, ff * width, activation="gelu"), norm(width), dropout=dropout)

    return blocks
