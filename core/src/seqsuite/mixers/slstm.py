"""sLSTM: an LSTM with exponential input gates and a recurrent matrix per head (Beck et al. 2024).

    u = silu(conv(x))
    i, f = W_i u, W_f u;  z, o = W_z x, W_o x                 each head on its own
    h = slstm(i, f, z, o; R, b)                               seqsuite.ops.rnn_scan, see there
    out = group_norm(h)

https://arxiv.org/abs/2405.04517, section 2.2 and figure 10: what stands before the block's up-projection, which
belongs to the stack. Initial values are those of the published implementation: R is 0, the forget gates' biases
fall over a head's channels from 5 to -7. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._heads import check_divides, most_heads
from seqsuite.mixers._short_conv import short_conv
from seqsuite.mixers.base import Mixer, State, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, rnn_scan

_OWNER = "mixer 'slstm'"


class SLSTMState(NamedTuple):
    """What sLSTM carries from step to step.

    Attributes:
        cell: (B, 4, D) h, c, n, m.
        conv: (B, D, d_conv) last inputs of the convolution, newest last.
    """

    cell: Tensor
    conv: Tensor


class SLSTMCellState(NamedTuple):
    """What sLSTM without the convolution carries.

    Attributes:
        cell: (B, 4, D) h, c, n, m.
    """

    cell: Tensor


class SLSTM(Mixer):
    """The sLSTM layer.

    Args:
        d_model: Width D.
        num_heads: Heads, each with its own recurrent matrix; by default the most up to 4 that divide D and leave
            4 channels to each, else 1. On a GPU heads wider than 64 run as a loop of many small calls.
        d_conv: Taps of the causal convolution before the input and forget gates; 0 for none.
        depth: The layer's place in the stack, 0 (first) to 1 (last): bends the initial forget biases.
        norm_eps: Added to the variance by the group norm.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"bias", "norm"})
    no_reinit: frozenset[str] = frozenset({"bias", "norm", "recurrent_kernel"})

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | None = None,
        d_conv: int = 4,
        depth: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(d_model)
        if num_heads is None:
            num_heads = most_heads(d_model, 4, least=4)
        check_range(_OWNER, {"d_model": d_model, "num_heads": num_heads}, least=1)
        check_range(_OWNER, {"d_conv": d_conv, "depth": depth}, least=0)
        check_range(_OWNER, {"norm_eps": norm_eps}, above=0)
        check_divides(_OWNER, "num_heads", num_heads, d_model=d_model)
        if depth > 1:
            raise UserError(f"{_OWNER}: depth must be at most 1, not {depth}")
        self.num_heads, self.d_conv, self.depth, self.norm_eps = num_heads, d_conv, depth, norm_eps
        p = d_model // num_heads
        self.conv1d = nn.Conv1d(d_model, d_model, d_conv, groups=d_model) if d_conv else None
        self.gates = nn.Parameter(torch.empty(4, num_heads, p, p))  # i, f, z, o
        self.recurrent_kernel = nn.Parameter(torch.empty(num_heads, 4, p, p))
        self.bias = nn.Parameter(torch.empty(4, d_model))
        self.norm = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters; see the module."""
        if self.conv1d is not None:
            self.conv1d.reset_parameters()
        nn.init.normal_(self.gates, std=(2 / (5 * self.d_model)) ** 0.5)
        nn.init.zeros_(self.recurrent_kernel)
        nn.init.zeros_(self.bias)
        p = self.d_model // self.num_heads
        place = torch.arange(p) / max(1, p - 1)
        self.bias[1] = (5 - 12 * place ** (0.3 + 1.3 * self.depth)).repeat(self.num_heads)
        nn.init.ones_(self.norm)

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale the group norm's weights: there is no output projection."""
        self.norm.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        u = x if self.conv1d is None else short_conv(self.conv1d, x, seq=seq, reverse=reverse)
        return self._normalise(self._scan(u, x, seq=seq, reverse=reverse))

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, State]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(x.shape[0], device=x.device, dtype=x.dtype)
        if self.conv1d is None:
            h, cell = self._scan(x, x, initial_state=state[0], return_final_state=True, seq=seq)
            return self._normalise(h), SLSTMCellState(cell)
        u, conv = short_conv(self.conv1d, x, initial_state=state[1], return_final_state=True, seq=seq)
        h, cell = self._scan(u, x, initial_state=state[0], return_final_state=True, seq=seq)
        return self._normalise(h), SLSTMState(cell, conv)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, State]:
        """Mix one step (B, D)."""
        y, after = self.prefill(x_t.unsqueeze(1), state)
        return y[:, 0], after

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> State:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        cell = torch.zeros(batch_size, 4, self.d_model, device=device, dtype=kind)
        if self.conv1d is None:
            return SLSTMCellState(cell)
        return SLSTMState(cell, torch.zeros(batch_size, self.d_model, self.d_conv, device=device, dtype=kind))

    def _scan(self, u: Tensor, x: Tensor, **options: Any) -> Any:
        """Project to the gates and run the cell: i and f see u, z and o see x."""
        u, x = (m.unflatten(2, (self.num_heads, -1)) for m in (u, x))
        early, late = (
            torch.einsum("blhq,ghpq->blghp", m, part).flatten(3)
            for m, part in ((u, self.gates[:2]), (x, self.gates[2:]))
        )
        return rnn_scan(torch.cat((early, late), 2), self.recurrent_kernel, cell="slstm", bias=self.bias, **options)

    def _normalise(self, h: Tensor) -> Tensor:
        """Normalise each head of (B, L, D)."""
        heads = h.unflatten(2, (self.num_heads, -1))
        return F.layer_norm(heads, heads.shape[-1:], eps=self.norm_eps).flatten(2) * self.norm
