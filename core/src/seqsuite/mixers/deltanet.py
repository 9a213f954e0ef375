"""DeltaNet and its kin: linear attention that replaces what a key held (Yang et al. 2024, Siems et al. 2025).

    q, k, v = silu(conv(in_proj(x)));  q, k of unit length a head (x / sqrt(|x|^2 + 1e-6))
    beta = sigmoid(.), times 2 with allow_neg_eigval
    S_t = (I - beta k k^T) S_{t-1} + beta k v^T;  o = K^-1/2 S^T q
    out = out_proj(rms_norm(o) [* silu(gate)])

`DeltaNet` is https://arxiv.org/abs/2406.06484. `GatedDeltaNet` (https://arxiv.org/abs/2412.06464) first decays the
state by exp(-exp(A_log) softplus(a + dt_bias)), one decay a head, as Mamba-2 does. `DeltaProduct`
(https://arxiv.org/abs/2502.10297) takes num_householder such steps a token, each with its own key, value and beta, the
decay before the first and the output after the last. Negative eigenvalues let a state count modulo two
(https://arxiv.org/abs/2411.12537). Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import check_divides, read, unit
from seqsuite.mixers._short_conv import short_conv, short_conv_step
from seqsuite.mixers._step_sizes import check_step_sizes, draw_step_sizes
from seqsuite.mixers.base import ProjectedMixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, delta_rule

_LARGEST_HEAD = 128


class DeltaNetState(NamedTuple):
    """What DeltaNet carries from step to step.

    Attributes:
        conv: (B, channels, d_conv) last inputs of the convolution, newest last.
        memory: (B, H, K, V) what the keys hold.
    """

    conv: Tensor
    memory: Tensor


class DeltaNet(ProjectedMixer):
    """DeltaNet, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: H, dividing both inner widths; "auto": as few as give keys of at most 128 channels.
        expand_k: Queries and keys have ``expand_k * d_model`` channels over all heads.
        expand_v: Values have ``expand_v * d_model`` channels over all heads.
        d_conv: Taps of the causal convolution over queries, keys and values.
        conv_bias: The convolution has a bias.
        num_householder: Steps of the rule a token.
        allow_neg_eigval: beta reaches 2, and the transition's eigenvalue along the key -1.
        output_gate: The normed output is multiplied by a gate.
        norm_eps: Epsilon of the output norm.
        bias: The two outer projections have a bias.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    _owner: ClassVar[str] = "mixer 'deltanet'"
    _head_decay: ClassVar[bool] = False

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand_k: float = 1.0,
        expand_v: float = 1.0,
        d_conv: int = 4,
        conv_bias: bool = False,
        num_householder: int = 1,
        allow_neg_eigval: bool = False,
        output_gate: bool = False,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(self._owner, {"expand_k": expand_k, "expand_v": expand_v, "norm_eps": norm_eps}, above=0)
        widths = {"expand_k * d_model": expand_k * d_model, "expand_v * d_model": expand_v * d_model}
        check_range(self._owner, {"d_conv": d_conv, "num_householder": num_householder} | widths, least=1)
        keys, values = int(expand_k * d_model), int(expand_v * d_model)
        self.num_heads = _auto_heads(keys, values) if num_heads == "auto" else num_heads
        check_range(self._owner, {"num_heads": self.num_heads}, least=1)
        inner = {"expand_k * d_model": keys, "expand_v * d_model": values}
        check_divides(self._owner, "num_heads", self.num_heads, **inner)
        self.num_householder, self.allow_neg_eigval = num_householder, allow_neg_eigval
        self.d_conv, self.output_gate = d_conv, output_gate
        self.widths = (keys, num_householder * keys, num_householder * values)
        rest = (values if output_gate else 0) + self.num_heads * (num_householder + self._head_decay)
        self.in_proj = nn.Linear(d_model, sum(self.widths) + rest, bias=bias)
        channels = sum(self.widths)
        self.conv1d = nn.Conv1d(channels, channels, d_conv, groups=channels, bias=conv_bias)
        self.o_norm = nn.RMSNorm(values // self.num_heads, eps=norm_eps)
        self.out_proj = nn.Linear(values, d_model, bias=bias)
        self._add_parameters()
        self.reset_parameters()
        self.mark_parameters()

    def _add_parameters(self) -> None:
        """Add what a subclass has besides."""

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: torch's own for the layers, 1 for the norm."""
        for layer in (self.in_proj, self.conv1d, self.o_norm, self.out_proj):
            if layer is not None:
                layer.reset_parameters()

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (..., D) to the stream of queries, keys and values, and the rest: gate, beta, decay."""
        assert self.in_proj is not None
        inner = self.in_proj(x)
        channels = sum(self.widths)
        return inner[..., :channels], inner[..., channels:]

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Convolve, run the rule, norm and gate: (B, L, values)."""
        stream, rest = inner
        stream = short_conv(self.conv1d, stream, reverse=reverse, seq=seq)
        return self._finish(self._rule(stream, rest, reverse=reverse, seq=seq), rest, seq)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, DeltaNetState]:
        """Convolve, run the rule, norm and gate a chunk from a state to a state."""
        stream, rest = inner
        if state is None:
            state = self.init_state(stream.shape[0], device=stream.device, dtype=stream.dtype)
        conv, memory = state
        stream, conv = short_conv(self.conv1d, stream, initial_state=conv, return_final_state=True, seq=seq)
        y, memory = self._rule(stream, rest, initial_state=memory, return_final_state=True, seq=seq)
        return self._finish(y, rest, seq), DeltaNetState(conv, memory)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, DeltaNetState]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        conv, memory = state
        stream, rest = self.expand(x_t)
        stream, conv = short_conv_step(self.conv1d, stream, conv)
        q, k, v, beta, g = (None if m is None else m.to(memory.dtype) for m in self._operands(stream, rest))
        assert q is not None
        assert k is not None
        assert v is not None
        assert beta is not None
        if g is not None:
            memory = torch.exp(g)[..., None, None] * memory
        for key, value, strength in zip(k.unbind(1), v.unbind(1), beta.unbind(1), strict=True):
            error = strength[..., None] * (value - read(key, memory))  # (B, H, V)
            memory = memory + key[..., None] * error[..., None, :]
        o = (read(q, memory) * q.shape[-1] ** -0.5).to(stream.dtype)
        return self.contract(self._finish(o, rest, None)), DeltaNetState(conv, memory)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> DeltaNetState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        heads, channels = self.num_heads, sum(self.widths)
        shape = (batch_size, heads, self.widths[0] // heads, self.o_norm.normalized_shape[0])
        return DeltaNetState(
            torch.zeros(batch_size, channels, self.d_conv, device=device, dtype=kind),
            torch.zeros(shape, device=device, dtype=kind),
        )

    def _operands(self, stream: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Return q (..., H, K), k (..., n, H, K), v (..., n, H, V), beta (..., n, H) and g (..., H) or None."""
        n, heads = self.num_householder, self.num_heads
        q, k, v = stream.split(self.widths, dim=-1)
        q = unit(q.unflatten(-1, (heads, -1)))
        k = unit(k.unflatten(-1, (n, heads, -1)))
        own = rest[..., rest.shape[-1] - heads * (n + self._head_decay) :]
        beta = torch.sigmoid(own[..., : n * heads]).unflatten(-1, (n, heads))
        g = self._log_decay(own[..., n * heads :]) if self._head_decay else None
        return q, k, v.unflatten(-1, (n, heads, -1)), 2 * beta if self.allow_neg_eigval else beta, g

    def _log_decay(self, raw: Tensor) -> Tensor:
        """Return the log decay of each head from its raw value; only where there is a decay."""
        raise NotImplementedError

    def _rule(self, stream: Tensor, rest: Tensor, *, reverse: bool = False, seq: Seq | None, **options: Any) -> Any:
        """Run the rule over the convolved stream (B, L, channels)."""
        q, k, v, beta, g = self._operands(stream, rest)
        n, last = self.num_householder, 0 if reverse else self.num_householder - 1
        if n > 1:
            q = _place(q, last, n)
            g = None if g is None else _place(g, n - 1 - last, n)
            k, v, beta = ((m.flip(2) if reverse else m) for m in (k, v, beta))
            seq = None if seq is None else Seq(_repeat(seq.valid, n), _repeat(seq.segment, n), seq.side)
        else:
            q = q.unsqueeze(2)
            g = None if g is None else g.unsqueeze(2)
        steps = [None if m is None else m.flatten(1, 2) for m in (q, k, v, beta, g)]  # (B, L n, H, ...)
        done: Any = delta_rule(*steps[:4], g=steps[4], reverse=reverse, seq=seq, **options)  # type: ignore[arg-type]
        if isinstance(done, tuple):
            return done[0][:, last::n], done[1]
        return done[:, last::n]

    def _finish(self, o: Tensor, rest: Tensor, seq: Seq | None) -> Tensor:
        """Norm each head's output (..., H, V), gate it and join the heads; padding yields 0."""
        y = self.o_norm(o).flatten(-2)
        if self.output_gate:
            y = y * F.silu(rest[..., : y.shape[-1]])
        return y if seq is None or seq.valid is None else y.masked_fill(~seq.valid[..., None], 0)


class GatedDeltaNet(DeltaNet):
    """Gated DeltaNet: DeltaNet with a decay for each head; with several steps a token it is Gated DeltaProduct.

    Args:
        d_model: Width D.
        num_heads: See `DeltaNet`.
        expand_k: See `DeltaNet`.
        expand_v: See `DeltaNet`.
        d_conv: See `DeltaNet`.
        conv_bias: See `DeltaNet`.
        num_householder: Steps of the rule a token.
        allow_neg_eigval: beta reaches 2.
        output_gate: See `DeltaNet`.
        a_max: Initial decay rates are uniform between 0 and this.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        dt_init_floor: Initial step sizes are not below this.
        norm_eps: Epsilon of the output norm.
        bias: The two outer projections have a bias.
    """

    no_decay: frozenset[str] = frozenset({"A_log", "dt_bias"})
    no_reinit: frozenset[str] = frozenset({"A_log", "dt_bias"})
    _owner: ClassVar[str] = "mixer 'gated_deltanet'"
    _head_decay: ClassVar[bool] = True

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand_k: float = 1.0,
        expand_v: float = 2.0,
        d_conv: int = 4,
        conv_bias: bool = False,
        num_householder: int = 1,
        allow_neg_eigval: bool = False,
        output_gate: bool = True,
        a_max: float = 16.0,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ) -> None:
        check_range(self._owner, {"a_max": a_max}, above=0)
        check_step_sizes(self._owner, dt_min, dt_max, dt_init_floor)
        self._initial = (a_max, dt_min, dt_max, dt_init_floor)
        super().__init__(
            d_model,
            num_heads=num_heads,
            expand_k=expand_k,
            expand_v=expand_v,
            d_conv=d_conv,
            conv_bias=conv_bias,
            num_householder=num_householder,
            allow_neg_eigval=allow_neg_eigval,
            output_gate=output_gate,
            norm_eps=norm_eps,
            bias=bias,
        )

    def _add_parameters(self) -> None:
        self.A_log = nn.Parameter(torch.empty(self.num_heads))
        self.dt_bias = nn.Parameter(torch.empty(self.num_heads))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: rates uniform, step sizes log-uniform, the rest as `DeltaNet`."""
        super().reset_parameters()
        a_max, *bounds = self._initial
        rates = torch.empty(self.num_heads).uniform_(0, a_max).clamp(min=torch.finfo(torch.float32).tiny)
        self.A_log.copy_(torch.log(rates))
        self.dt_bias.copy_(draw_step_sizes(self.num_heads, *bounds))

    def _log_decay(self, raw: Tensor) -> Tensor:
        kind = state_dtype(self.A_log.dtype)
        return -torch.exp(self.A_log.to(kind)) * F.softplus(raw.to(kind) + self.dt_bias.to(kind))


class DeltaProduct(DeltaNet):
    """DeltaProduct: DeltaNet with several steps a token and negative eigenvalues by default; options as `DeltaNet`."""

    _owner: ClassVar[str] = "mixer 'deltaproduct'"

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand_k: float = 1.0,
        expand_v: float = 1.0,
        d_conv: int = 4,
        conv_bias: bool = False,
        num_householder: int = 2,
        allow_neg_eigval: bool = True,
        output_gate: bool = False,
        norm_eps: float = 1e-5,
        bias: bool = False,
    ) -> None:
        super().__init__(
            d_model,
            num_heads=num_heads,
            expand_k=expand_k,
            expand_v=expand_v,
            d_conv=d_conv,
            conv_bias=conv_bias,
            num_householder=num_householder,
            allow_neg_eigval=allow_neg_eigval,
            output_gate=output_gate,
            norm_eps=norm_eps,
            bias=bias,
        )


def _auto_heads(keys: int, values: int) -> int:
    """Return the fewest heads that divide both widths and give keys of at most 128 channels."""
    shared = math.gcd(keys, values)
    fitting = (heads for heads in range(1, shared + 1) if shared % heads == 0 and keys // heads <= _LARGEST_HEAD)
    return next(fitting, shared)


def _place(x: Tensor, index: int, count: int) -> Tensor:
    """Put (B, L, ...) at one of `count` places of a new axis behind L, zeros at the others."""
    return torch.stack([x if place == index else torch.zeros_like(x) for place in range(count)], 2)


def _repeat(mask: Tensor | None, count: int) -> Tensor | None:
    return None if mask is None else mask.repeat_interleave(count, 1)
