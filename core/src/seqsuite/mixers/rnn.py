"""LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014): sequential cells with a full recurrent matrix.

    h = rnn(x);  out = out_proj(h)

The parameters are those of `torch.nn.LSTM` or `torch.nn.GRU` (one layer), held in `rnn`: a state dict of such a
layer loads with ``mixer.rnn.load_state_dict``. Whole rows run through PyTorch's own layer where it is the
faster (always on a GPU; on a CPU the LSTM, and the GRU without gradients), rows with padding or packing, and
other dtypes on a CPU, through `seqsuite.ops.rnn_scan`. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, rnn_scan


class RNNState(NamedTuple):
    """What a recurrent layer carries from step to step.

    Attributes:
        cell: (B, S, hidden), S = 2 for the LSTM (h and c), 1 for the GRU (h).
    """

    cell: Tensor


class _RNN(Mixer):
    """What LSTM and GRU share."""

    causal: bool = True
    reversible: ClassVar[bool] = True
    cell: ClassVar[Any]
    gates: ClassVar[int]
    parts: ClassVar[int]

    def __init__(self, d_model: int, *, hidden: int | None = None, project: bool = True, bias: bool = True) -> None:
        super().__init__(d_model)
        self.hidden = d_model if hidden is None else hidden
        owner = f"mixer '{self.cell}'"
        check_range(owner, {"d_model": d_model, "hidden": self.hidden}, least=1)
        if not project and self.hidden != d_model:
            raise UserError(f"{owner}: without project, hidden must be d_model, {d_model}, not {self.hidden}")
        # RNNBase and not nn.LSTM: it holds the same parameters, but torch.compile refuses whatever holds an nn.LSTM.
        self.rnn = nn.RNNBase(self.cell.upper(), d_model, self.hidden, bias=bias, batch_first=True)
        self.out_proj = nn.Linear(self.hidden, d_model, bias=bias) if project else None
        self.mark_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial parameters, uniform within the inverse root of the width, as PyTorch's layers do."""
        self.rnn.reset_parameters()
        if self.out_proj is not None:
            self.out_proj.reset_parameters()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `out_proj.weight`, if there is one; see `Mixer.scale_output`."""
        if self.out_proj is not None:
            self.out_proj.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        return self._run(x, None, seq, reverse)[0]

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, RNNState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        y, last = self._run(x, None if state is None else state[0], seq, False)
        return y, RNNState(last)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, RNNState]:
        """Mix one step (B, D)."""
        y, after = self.prefill(x_t.unsqueeze(1), state)
        return y[:, 0], after

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> RNNState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return RNNState(torch.zeros(batch_size, self.parts, self.hidden, device=device, dtype=kind))

    def _run(self, x: Tensor, cell: Tensor | None, seq: Seq | None, reverse: bool) -> tuple[Tensor, Tensor]:
        """Run from a state (B, S, hidden) and return the output and the state behind it."""
        if self._by_torch(x, seq):
            h, last = self._through_layer(x.flip(1) if reverse else x, cell)
            h = h.flip(1) if reverse else h
        else:
            (inputs, recurrent), (bias, recurrent_bias) = self._weights()
            h, last = rnn_scan(
                F.linear(x, inputs, bias).unflatten(2, (self.gates, self.hidden)),
                recurrent.unflatten(0, (1, self.gates, self.hidden)),
                cell=self.cell,
                bias=None if recurrent_bias is None else recurrent_bias.unflatten(0, (self.gates, self.hidden)),
                initial_state=cell,
                return_final_state=True,
                reverse=reverse,
                seq=seq,
            )
        return h if self.out_proj is None else self.out_proj(h), last

    def _weights(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor | None, Tensor | None]]:
        """Return the matrices and the biases of the input's and of the recurrent part."""
        own: Any = self.rnn
        biases = (own.bias_ih_l0, own.bias_hh_l0) if own.bias else (None, None)
        return (own.weight_ih_l0, own.weight_hh_l0), biases

    def _by_torch(self, x: Tensor, seq: Seq | None) -> bool:
        """Whether PyTorch's own layer serves this call, and is the faster."""
        if seq is not None and (seq.valid is not None or seq.segment is not None):
            return False
        if x.device.type != "cpu":
            return True
        if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
            return False
        wants_gradient = torch.is_grad_enabled() and (x.requires_grad or self._weights()[0][1].requires_grad)
        return x.dtype in (torch.float32, torch.float64) and (self.cell == "lstm" or not wants_gradient)

    def _through_layer(self, x: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run PyTorch's layer as `torch.nn.LSTM` and `torch.nn.GRU` call it."""
        if cell is None:
            cell = x.new_zeros(len(x), self.parts, self.hidden)
        state = cell.to(x.dtype).transpose(0, 1).contiguous().split(1)  # (1, B, hidden) each
        matrices, biases = self._weights()
        weights = [*matrices, *(b for b in biases if b is not None)]
        call = torch.lstm if self.cell == "lstm" else torch.gru
        hx = state if self.cell == "lstm" else state[0]
        h, *parts = call(x, hx, weights, self.rnn.bias, 1, 0.0, self.training, False, True)
        last = torch.cat(parts).transpose(0, 1)
        return h, last.to(state_dtype(x.dtype))


class LSTM(_RNN):
    """The LSTM layer, without norm and residual.

    Args:
        d_model: Width D.
        hidden: Width of the state; `d_model` by default.
        project: Project the state to the output; without it `hidden` must be `d_model`.
        bias: All projections have a bias.
    """

    cell: ClassVar[Any] = "lstm"
    gates: ClassVar[int] = 4
    parts: ClassVar[int] = 2


class GRU(_RNN):
    """The GRU layer, without norm and residual.

    Args:
        d_model: Width D.
        hidden: Width of the state; `d_model` by default.
        project: Project the state to the output; without it `hidden` must be `d_model`.
        bias: All projections have a bias.
    """

    cell: ClassVar[Any] = "gru"
    gates: ClassVar[int] = 3
    parts: ClassVar[int] = 1
