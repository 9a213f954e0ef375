"""Hyena: long convolutions between multiplicative gates (Poli et al. 2023, https://arxiv.org/abs/2302.10866).

    x_0, ..., x_{N-1}, v = short_conv(in_proj(u))             order N, each of width D
    v = long_conv(v * x_i, k_i) + D_i (v * x_i)               for i = N-1, ..., 1
    out = out_proj(v * x_0)

The taps k come from a small MLP with sine activations over the position, faded exponentially at a
rate of each channel's own. Position is a fraction of `l_max`: a shorter input uses the first taps, and
`l_max` belongs to the weights. There is no recurrent form; `sweep` runs over a sequence on disk.
float32 agrees with float64 to 2e-5 (relative).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import ProjectedMixer, Read, Scratch, chunks, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, causal_conv1d, long_conv, long_conv_chunked

_OWNER = "mixer 'hyena'"


def position_features(
    length: int,
    l_max: int,
    emb_dim: int,
    *,
    start: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return what the filter's MLP sees of the positions from `start` to below `length`, out of `l_max`.

    Returns:
        (length - start, emb_dim): the fraction of `l_max`, then cosines, then negative sines, of frequencies from
        about 0 to ``(emb_dim - 1) / 2 - 1`` turns.
    """
    bands = (emb_dim - 1) // 2
    n = torch.arange(start, length, device=device, dtype=dtype)[:, None]
    angle = 2 * math.pi / l_max * n * torch.linspace(1e-4, bands - 1, bands, device=device, dtype=dtype)
    return torch.cat((n / max(1, l_max - 1), angle.cos(), -angle.sin()), dim=1)


class HyenaFilter(nn.Module):
    """The taps of the long convolutions as a function of the position, of any length up to `l_max`.

    Positions and fading rates follow from the sizes: only what is trained is in the state dict. Computed in
    float32 at least, also under autocast.

    Args:
        channels: Width of the result.
        l_max: Number of positions.
        emb_dim: Features of a position: the fraction of `l_max`, and cosines and sines in pairs.
        width: Width of the MLP.
        num_inner_mlps: Its hidden layers of `width` to `width`.
        w: Initial frequency of its sines.
        modulate: Let the taps fade.
        fast_decay_pct: Fraction of `l_max` at which the fastest channel has faded to `target`.
        slow_decay_pct: That of the slowest channel.
        target: What is called faded.
        shift: What remains of a faded tap.
        trainable_positions: The features of the positions are parameters.
    """

    def __init__(
        self,
        channels: int,
        *,
        l_max: int,
        emb_dim: int,
        width: int,
        num_inner_mlps: int,
        w: float,
        modulate: bool,
        fast_decay_pct: float,
        slow_decay_pct: float,
        target: float,
        shift: float,
        trainable_positions: bool,
    ) -> None:
        super().__init__()
        self.channels, self.l_max, self.emb_dim, self.w = channels, l_max, emb_dim, w
        self.modulate, self.shift = modulate, shift
        self.rates = (-math.log(target) / slow_decay_pct, -math.log(target) / fast_decay_pct)
        inner = [nn.Linear(width, width) for _ in range(num_inner_mlps)]
        self.layers = nn.ModuleList([nn.Linear(emb_dim, width), *inner, nn.Linear(width, channels, bias=False)])
        self.freq = nn.Parameter(torch.empty(width))
        self.z = nn.Parameter(torch.empty(l_max, emb_dim)) if trainable_positions else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the MLP; frequencies and positions begin at their formula."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]
        self.freq.fill_(self.w)
        if self.z is not None:
            self.z.copy_(position_features(self.l_max, self.l_max, self.emb_dim))

    def fading(self, length: int, start: int = 0) -> Tensor:
        """Return the factor on the taps, which fades with the distance.

        Args:
            length: Number of taps, counted from the present step.
            start: The first one that is wanted.

        Returns:
            (length - start, channels).
        """
        place = {"device": self.freq.device, "dtype": self.kind}
        t = torch.arange(start, length, **place)[:, None] / max(1, self.l_max - 1)  # type: ignore[call-overload]
        rates = torch.linspace(*self.rates, self.channels, **place)  # type: ignore[call-overload]
        return torch.exp(-t * rates) + self.shift

    def forward(self, length: int, start: int = 0) -> Tensor:
        """Return the taps of the filter.

        Args:
            length: Number of taps, counted from the present step.
            start: The first one that is wanted.

        Returns:
            (length - start, channels).

        Raises:
            UserError: `length` is above `l_max`.
        """
        if length > self.l_max:
            raise UserError(
                f"{_OWNER}: the input has {length} steps, the filter l_max={self.l_max}; cut the input, "
                "or build the model with a larger l_max (its filter is then another function)"
            )
        with torch.autocast(self.freq.device.type, enabled=False):
            kind = self.kind
            if self.z is None:
                place = {"start": start, "device": self.freq.device, "dtype": kind}
                h = position_features(length, self.l_max, self.emb_dim, **place)  # type: ignore[arg-type]
            else:
                h = self.z[start:length].to(kind)
            for index, layer in enumerate(self.layers):
                h = torch.sin(self.freq.to(kind) * h) if index else h
                bias = layer.bias
                h = F.linear(h, layer.weight.to(kind), None if bias is None else bias.to(kind))  # type: ignore
            return h * self.fading(length, start) if self.modulate else h

    @property
    def kind(self) -> torch.dtype:
        """The precision of the computation."""
        return state_dtype(self.freq.dtype)


def _check_filter(emb_dim: int, fast: float, slow: float, target: float, any_number: dict[str, float]) -> None:
    """Refuse what makes no filter.

    Raises:
        UserError: A number is out of its range; it is named.
    """
    check_range(_OWNER, {"emb_dim": emb_dim}, least=3)
    check_range(_OWNER, {"fast_decay_pct": fast, "slow_decay_pct": slow}, above=0)
    check_range(_OWNER, {"target": target}, above=0)
    check_range(_OWNER, any_number)
    if target >= 1:
        raise UserError(f"{_OWNER}: target must be below 1, not {target}")
    if emb_dim % 2 == 0:
        raise UserError(f"{_OWNER}: emb_dim must be odd (one fraction, cosines and sines in pairs), not {emb_dim}")


class Hyena(ProjectedMixer):
    """The Hyena operator.

    Args:
        d_model: Width D.
        order: Number of gates N; there are N - 1 long convolutions.
        l_max: Longest input, and the unit of the filter's position.
        filter_width: Width of the filter's MLP.
        num_inner_mlps: Its hidden layers of that width to that width.
        emb_dim: Features of a position, odd: the fraction of `l_max`, and cosines and sines in pairs.
        short_filter: Taps of the short convolution.
        w: Initial frequency of the filter's sines.
        modulate: Let the taps fade with their distance.
        fast_decay_pct: Fraction of `l_max` at which the fastest channel has faded to `target`.
        slow_decay_pct: That of the slowest channel.
        target: What is called faded.
        shift: What remains of a faded tap: 0.05 in the published weights, 0 in the code that trained them.
        trainable_positions: The features of the positions are parameters (l_max, emb_dim).
        bias: The two outer projections have a bias.
        filter_lr_scale: Learning rate of the filter's parameters, in units of the others'; they never decay.
        recompute: Keep no spectra for the backward pass; see `seqsuite.ops.long_conv`.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"D"})

    def __init__(
        self,
        d_model: int,
        *,
        order: int = 2,
        l_max: int = 1024,
        filter_width: int = 64,
        num_inner_mlps: int = 2,
        emb_dim: int = 5,
        short_filter: int = 3,
        w: float = 10.0,
        modulate: bool = True,
        fast_decay_pct: float = 0.3,
        slow_decay_pct: float = 1.5,
        target: float = 0.01,
        shift: float = 0.05,
        trainable_positions: bool = False,
        bias: bool = True,
        filter_lr_scale: float = 1.0,
        recompute: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"order": order}, least=2)
        sizes = {"d_model": d_model, "l_max": l_max, "filter_width": filter_width, "short_filter": short_filter}
        check_range(_OWNER, sizes, least=1)
        check_range(_OWNER, {"num_inner_mlps": num_inner_mlps, "filter_lr_scale": filter_lr_scale}, least=0)
        _check_filter(emb_dim, fast_decay_pct, slow_decay_pct, target, {"w": w, "shift": shift})
        self.order, self.filter_lr_scale, self.recompute = order, filter_lr_scale, recompute
        inner = (order + 1) * d_model
        self.in_proj = nn.Linear(d_model, inner, bias=bias)
        self.short_filter = nn.Conv1d(inner, inner, short_filter, groups=inner)
        self.filter = HyenaFilter(
            (order - 1) * d_model,
            l_max=l_max,
            emb_dim=emb_dim,
            width=filter_width,
            num_inner_mlps=num_inner_mlps,
            w=w,
            modulate=modulate,
            fast_decay_pct=fast_decay_pct,
            slow_decay_pct=slow_decay_pct,
            target=target,
            shift=shift,
            trainable_positions=trainable_positions,
        )
        self.D = nn.Parameter(torch.empty((order - 1) * d_model))
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters; the skips D are standard normal."""
        for layer in (self.in_proj, self.short_filter, self.filter, self.out_proj):
            if layer is not None:
                layer.reset_parameters()
        nn.init.normal_(self.D)

    def mark_parameters(self) -> None:
        """Mark every parameter of the filter: no weight decay, and its own learning rate."""
        super().mark_parameters()
        for parameter in self.filter.parameters():
            for mark, value in (("_no_weight_decay", True), ("_lr_scale", self.filter_lr_scale)):
                setattr(parameter, mark, value)

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, L, D) to all gates and the value side by side, (B, L, (order + 1) D)."""
        assert self.in_proj is not None
        return (self.in_proj(x),)

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Convolve and gate: (B, L, D)."""
        (streams,) = inner
        taps = self.filter(streams.shape[1])  # (L, (order - 1) D)
        weight, bias = self.short_filter.weight[:, 0], self.short_filter.bias
        convolved = causal_conv1d(streams, weight, bias, reverse=reverse, seq=seq)
        assert isinstance(convolved, Tensor)
        first, *gates, v = convolved.chunk(self.order + 1, dim=-1)
        stages = zip(gates[::-1], taps.chunk(self.order - 1, dim=-1), self.D.chunk(self.order - 1), strict=True)
        for gate, k, D in stages:
            v = long_conv(v * gate, k, D=D, reverse=reverse, seq=seq, recompute=self.recompute)
        return v * first

    @torch.no_grad()
    def sweep(self, read: Read, out: Tensor, *, chunk: int, scratch: Scratch) -> None:
        """Mix a sequence on disk; see `Mixer.sweep`. The filter and the value between the gates lie in scratch."""
        batch, length, width = out.shape
        taps, v = scratch(length, self.D.numel()), scratch(batch, length, width)
        for start, end in chunks(length, chunk):
            # From the end, so that an input that is too long is refused at once.
            taps[length - end : length - start] = self.filter(length - start, length - end).to(taps.device)
        for stage in range(self.order - 1):
            part = slice(stage * width, (stage + 1) * width)
            for start, end, streams in self._streams(read, length, chunk):
                value = streams[-1] if stage == 0 else v[:, start:end].to(streams[0].device)
                v[:, start:end] = (value * streams[-2 - stage]).to(v.device)
            # As much memory with few channels and long blocks, and far fewer transforms.
            options: dict[str, Any] = {"block": 8 * chunk, "channels": -(-width // 8), "device": self.D.device}
            long_conv_chunked(v, taps[:, part], v, D=self.D[part], **options)
        for start, end, streams in self._streams(read, length, chunk):
            y = v[:, start:end].to(streams[0].device) * streams[0]
            out[:, start:end] = self.contract(y).to(out.device)

    def _streams(self, read: Read, length: int, chunk: int) -> Iterator[tuple[int, int, tuple[Tensor, ...]]]:
        """Yield the gates and the value of each chunk, the short convolution running on from chunk to chunk."""
        weight, bias = self.short_filter.weight[:, 0], self.short_filter.bias
        state: Tensor | None = None
        for start, end in chunks(length, chunk):
            (streams,) = self.expand(read(start, end))
            streams, state = causal_conv1d(streams, weight, bias, initial_state=state, return_final_state=True)
            yield start, end, streams.chunk(self.order + 1, dim=-1)
