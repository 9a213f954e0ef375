"""The pre-norm block of a Transformer with any mixer in the place of attention, for a `ResidualStack`.

    r = r + h;  h = dropout(mixer(norm1(r)))
    r = r + h;  h = dropout(mlp(norm2(r)))

As in `Block`, what a block returns is the branch that is still to be added and the stream before it:
the next block, or the final norm, adds it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.backbones.residual import Block
from seqsuite.mixers.base import Mixer, Scratch, State, chunks
from seqsuite.ops import Seq

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class MLP(nn.Module):
    """Two linear layers with an activation between them, position by position.

    Args:
        d_model: Width D.
        d_inner: Width between the layers.
        activation: "gelu_tanh" is the tanh approximation of the Gaussian error unit.
        bias: The layers have a bias.
    """

    def __init__(self, d_model: int, d_inner: int, *, activation: Activation = "gelu_tanh", bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(d_model, d_inner, bias=bias)
        self.fc2 = nn.Linear(d_inner, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.fc2(_ACTIVATIONS[self.activation](self.fc1(x)))


class MLPBlock(Block):
    """Mix, then an MLP, each on the normalised stream: (hidden, residual) to (hidden, residual).

    Args:
        mixer: From (B, L, D) to (B, L, D).
        norm1: In front of the mixer.
        norm2: In front of the MLP.
        mlp: From (B, L, D) to (B, L, D), position by position.
        dropout: Probability, on what the mixer and the MLP give, before it is added.
        residual_in_fp32: Keep the stream in float32.
    """

    def __init__(
        self,
        mixer: Mixer,
        norm1: nn.Module,
        norm2: nn.Module,
        mlp: nn.Module,
        *,
        dropout: float = 0.0,
        residual_in_fp32: bool = False,
    ) -> None:
        nn.Module.__init__(self)  # not Block's constructor: there are two norms
        self.norm1, self.mixer = norm1, mixer
        self.norm2, self.mlp = norm2, mlp
        self.dropout = dropout
        self.residual_in_fp32 = residual_in_fp32

    def forward(self, hidden: Tensor, residual: Tensor | None, *, seq: Seq | None = None) -> tuple[Tensor, Tensor]:
        """Run one block over (B, L, D)."""
        residual = self.add(hidden, residual)
        return self._finish(self.mixer(self.norm1(residual), seq=seq), residual)

    def prefill(
        self, hidden: Tensor, residual: Tensor | None, state: State | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Run one block over a chunk, from a state to a state; see `Block.prefill`."""
        residual = self.add(hidden, residual)
        mixed, after = self.mixer.prefill(self.norm1(residual), state, seq=seq)
        return *self._finish(mixed, residual), after

    def step(self, hidden: Tensor, residual: Tensor | None, state: State) -> tuple[Tensor, Tensor, State]:
        """Run one block over one step; see `Block.step`."""
        residual = self.add(hidden, residual)
        mixed, after = self.mixer.step(self.norm1(residual), state)
        return *self._finish(mixed, residual), after

    def sweep(self, hidden: Tensor, residual: Tensor | None, *, chunk: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        """Run one block over (B, L, D) on disk, `chunk` steps at once; both tensors are overwritten."""
        hidden, stream = self.add_on_disk(hidden, residual, chunk=chunk, scratch=scratch)
        device = next(self.parameters()).device
        self.mixer.sweep(
            lambda start, end: self.norm1(stream[:, start:end].to(device)), hidden, chunk=chunk, scratch=scratch
        )
        for start, end in chunks(hidden.shape[1], chunk):
            part = slice(start, end)
            branch, total = self._finish(hidden[:, part].to(device), stream[:, part].to(device))
            hidden[:, part], stream[:, part] = branch.to(hidden.device), total.to(stream.device)
        return hidden, stream

    def _finish(self, hidden: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Add what the mixer gave, and run the MLP."""
        residual = self.add(self._drop(hidden), residual)
        return self._drop(self.mlp(self.norm2(residual))), residual

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
