"""TCN: a stack of dilated causal convolutions with residuals (Bai et al. 2018, https://arxiv.org/abs/1803.01271).

    level i:  u = relu(conv(x; dilation 2^i));  u = relu(conv(u; dilation 2^i));  x = relu(u + residual(x))
    out = out_proj(x)

Filters are weight-normalised, g v / |v|; the residual is x, or a projection of it where the width changes. A
position sees the last ``1 + 2 (kernel_size - 1) (2^levels - 1)`` inputs. The recurrent views carry the last
inputs of every convolution, a fixed number. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq
from seqsuite.ops._order import put_back, reorder, valid_first

_OWNER = "mixer 'tcn'"


class TCNState(NamedTuple):
    """What a TCN carries from step to step.

    Attributes:
        inputs: (B, N) last inputs of every convolution, one convolution after the other, oldest first.
    """

    inputs: Tensor


class DilatedConv(nn.Module):
    """A weight-normalised dilated causal convolution over (B, L, C_in).

    Args:
        inputs: C_in.
        outputs: C_out.
        kernel_size: Taps.
        dilation: Steps between them.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.dilation, self.taps = dilation, kernel_size
        self.reach = (kernel_size - 1) * dilation
        self.g = nn.Parameter(torch.empty(outputs))
        self.v = nn.Parameter(torch.empty(outputs, inputs, kernel_size))
        self.bias = nn.Parameter(torch.empty(outputs))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the filters from a normal distribution of 0.01, and the bias as PyTorch's convolutions do."""
        nn.init.normal_(self.v, std=0.01)
        self.g.copy_(self.v.flatten(1).norm(dim=1))
        bound = (self.v.shape[1] * self.taps) ** -0.5
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, before: Tensor, segment: Tensor | None) -> tuple[Tensor, Tensor]:
        """Convolve.

        Args:
            x: (B, L, C_in).
            before: (B, reach, C_in) the inputs before x.
            segment: (B, reach + L) the document of each; a window stays within one. None: all are one.

        Returns:
            (B, L, C_out), and the inputs with those before them (B, reach + L, C_in).
        """
        length = x.shape[1]
        whole = torch.cat((before.to(x.dtype), x), 1)
        windows = [whole[:, at * self.dilation :][:, :length] for at in range(self.taps)]
        if segment is not None:
            own = segment[:, self.reach :]
            homes = [segment[:, at * self.dilation :][:, :length] for at in range(self.taps)]
            windows = [w.masked_fill((home != own)[..., None], 0) for w, home in zip(windows, homes, strict=True)]
        return F.linear(torch.cat(windows, 2), self._filters().transpose(1, 2).flatten(1), self.bias), whole

    def step(self, window: Tensor) -> Tensor:
        """Return (B, C_out) of the inputs under the taps (B, taps, C_in)."""
        return F.linear(window.transpose(1, 2).flatten(1), self._filters().flatten(1), self.bias)

    def _filters(self) -> Tensor:
        return self.g[:, None, None] * self.v / self.v.flatten(1).norm(dim=1)[:, None, None]


class Level(nn.Module):
    """Two dilated convolutions and the residual."""

    def __init__(self, inputs: int, width: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = DilatedConv(inputs, width, kernel_size, dilation)
        self.conv2 = DilatedConv(width, width, kernel_size, dilation)
        self.residual = nn.Linear(inputs, width) if inputs != width else None
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Draw the initial parameters."""
        self.conv1.reset_parameters()
        self.conv2.reset_parameters()
        if self.residual is not None:
            nn.init.normal_(self.residual.weight, std=0.01)
            nn.init.zeros_(self.residual.bias)


class TCN(Mixer):
    """The temporal convolutional network as a mixer.

    Args:
        d_model: Width D.
        width: Channels of every level; `d_model` by default.
        levels: Levels, with dilations 1, 2, 4, ...
        kernel_size: Taps of every convolution.
        dropout: Share of activations dropped behind every convolution, in training.
    """

    causal: bool = True

    def __init__(
        self, d_model: int, *, width: int | None = None, levels: int = 4, kernel_size: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__(d_model)
        width = d_model if width is None else width
        check_range(_OWNER, {"d_model": d_model, "width": width, "levels": levels}, least=1)
        check_range(_OWNER, {"kernel_size": kernel_size}, least=2)
        check_range(_OWNER, {"dropout": dropout}, least=0)
        if dropout >= 1:
            raise UserError(f"{_OWNER}: dropout must be below 1, not {dropout}")
        self.levels = nn.ModuleList(
            Level(d_model if index == 0 else width, width, kernel_size, 2**index, dropout) for index in range(levels)
        )
        self.out_proj = nn.Linear(width, d_model)
        self.reset_parameters()
        self.mark_parameters()

    @property
    def receptive_field(self) -> int:
        """Inputs that an output depends on, its own included."""
        return 1 + sum(conv.reach for conv in self._convs())

    def reset_parameters(self) -> None:
        """Draw the initial parameters."""
        for level in self.levels:
            assert isinstance(level, Level)
            level.reset_parameters()
        self.out_proj.reset_parameters()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `out_proj.weight`; see `Mixer.scale_output`."""
        self.out_proj.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        if reverse:
            raise ValueError("a TCN has no reverse mode of its own; use seqsuite.mixers.run_reversed")
        return self.prefill(x, seq=seq)[0]

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, TCNState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(x.shape[0], device=x.device, dtype=x.dtype)
        order, segment, count = None, None, None
        if seq is not None:
            order, segment = valid_first(seq), seq.segment
            if seq.valid is not None:
                x, count = x.masked_fill(~seq.valid[..., None], 0), seq.valid.sum(1)
            x = reorder(x, order)
            segment = None if segment is None else reorder(segment, order)
        kept, at = [], 0
        for level in self.levels:
            assert isinstance(level, Level)
            u = x
            for conv in (level.conv1, level.conv2):
                size = conv.reach * conv.v.shape[1]
                before = state[0][:, at : at + size].unflatten(1, (conv.reach, -1))
                at += size
                homes = None if segment is None else F.pad(segment, (conv.reach, 0))
                u, whole = conv(u, before, homes)
                kept.append(_last(whole, conv.reach, count, homes).flatten(1).to(state[0].dtype))
                u = level.dropout(F.relu(u))
            x = F.relu(u + (x if level.residual is None else level.residual(x)))
        y = put_back(self.out_proj(x), order)
        if seq is not None and seq.valid is not None:
            y = y.masked_fill(~seq.valid[..., None], 0)
        return y, TCNState(torch.cat(kept, 1))

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, TCNState]:
        """Mix one step (B, D)."""
        x, kept, at = x_t, [], 0
        for level in self.levels:
            assert isinstance(level, Level)
            u = x
            for conv in (level.conv1, level.conv2):
                width = u.shape[1]
                before = state[0][:, at : at + conv.reach * width]
                at += before.shape[1]
                kept += [before[:, width:], u.to(before.dtype)]
                under = before.unflatten(1, (conv.reach, width))[:, :: conv.dilation].to(u.dtype)
                u = level.dropout(F.relu(conv.step(torch.cat((under, u[:, None]), 1))))
            x = F.relu(u + (x if level.residual is None else level.residual(x)))
        return self.out_proj(x), TCNState(torch.cat(kept, 1))

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> TCNState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        size = sum(conv.reach * conv.v.shape[1] for conv in self._convs())
        return TCNState(torch.zeros(batch_size, size, device=device, dtype=kind))

    def _convs(self) -> list[DilatedConv]:
        return [module for module in self.modules() if isinstance(module, DilatedConv)]


def _last(whole: Tensor, reach: int, count: Tensor | None, segment: Tensor | None) -> Tensor:
    """Return the last `reach` valid inputs (B, reach, C) of (B, reach + L, C), zeros outside the last document."""
    if count is None:
        found, homes = whole[:, -reach:], None if segment is None else segment[:, -reach:]
    else:
        place = count[:, None] + torch.arange(reach, device=whole.device)  # (B, reach)
        found = whole.gather(1, place[..., None].expand(-1, -1, whole.shape[2]))
        homes = None if segment is None else segment.gather(1, place)
    if homes is None or segment is None:
        return found
    return found.masked_fill((homes != homes[:, -1:])[..., None], 0)
