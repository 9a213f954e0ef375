"""mLSTM: a matrix memory with exponential input gates (Beck et al. 2024, xLSTM).

    C_t = f_t C_{t-1} + i_t k_t v_t^T,   n_t = f_t n_{t-1} + i_t k_t,   i = exp(i'), f = sigmoid(f') or exp(f')
    h_t = C_t^T q_t / max(|n_t . q_t|, 1)                                for each head, k divided by sqrt(K)
    x, z = in_proj(u);  c = silu(conv1d(x));  q, k of c, v of x, gates of (q, k, v)
    y = out_proj((norm(h) + skip * c) * silu(z))

https://arxiv.org/abs/2405.04517, the layer of the paper's language models. The gates overflow, so the state is
kept divided by exp(m_t), m_t = max(log f_t + m_{t-1}, i'_t): it decays by exp(log f_t + m_{t-1} - m_t) <= 1 and
takes up k by exp(i'_t - m_t) <= 1, and 1 becomes exp(-m_t). The result does not depend on m, so no gradient goes
through it, and m comes from a scan that only adds and compares: no difference of long sums. Views agree to 1e-10
in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import HeadNorm, check_divides, divisor, most_heads, read, split_heads
from seqsuite.mixers._short_conv import short_conv, short_conv_step
from seqsuite.mixers.base import ProjectedMixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, ssd

_OWNER = "mixer 'mlstm'"
_TINY = 1e-30


class MLSTMState(NamedTuple):
    """What the mLSTM carries from step to step.

    Attributes:
        conv: (B, D_inner, d_conv) last inputs of the convolution, newest last.
        memory: (B, H, P, P + 1): C, and n as the last column, both divided by exp(m).
        m: (B, H) the stabiliser.
    """

    conv: Tensor
    memory: Tensor
    m: Tensor


class MLSTM(ProjectedMixer):
    """The mLSTM layer, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: Heads H, dividing the inner width; "auto" is the largest such number up to 4 that leaves 4 channels
            to each, else 1.
        expand: Inner width is ``expand * d_model``.
        d_conv: Taps of the causal convolution.
        qkv_block: Width of the diagonal blocks of the maps to q, k and v, dividing the inner width; "auto" is the
            largest such number up to 4.
        forget_gate: "sigmoid" or "exp".
        conv_bias: The convolution has a bias.
        bias: The two outer projections have a bias.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"skip", "norm.weight"})
    no_reinit: frozenset[str] = frozenset({"igate.weight", "igate.bias", "fgate.weight", "fgate.bias"})

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand: float = 2,
        d_conv: int = 4,
        qkv_block: int | Literal["auto"] = "auto",
        forget_gate: Literal["sigmoid", "exp"] = "sigmoid",
        conv_bias: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"expand": expand}, above=0)
        check_range(_OWNER, {"d_model": d_model, "d_conv": d_conv, "expand * d_model": expand * d_model}, least=1)
        self.d_inner, self.d_conv, self.forget_gate = int(expand * d_model), d_conv, forget_gate
        self.num_heads = most_heads(self.d_inner, 4, least=4) if num_heads == "auto" else num_heads
        block = divisor(self.d_inner, 4) if qkv_block == "auto" else qkv_block
        check_range(_OWNER, {"num_heads": self.num_heads, "qkv_block": block}, least=1)
        for name, size in (("num_heads", self.num_heads), ("qkv_block", block)):
            check_divides(_OWNER, name, size, **{"the inner width": self.d_inner})
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=bias)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, bias=conv_bias)
        self.qkv = nn.Parameter(torch.empty(3, self.d_inner // block, block, block))
        self.igate = nn.Linear(3 * self.d_inner, self.num_heads)
        self.fgate = nn.Linear(3 * self.d_inner, self.num_heads)
        self.norm = HeadNorm(self.d_inner, self.num_heads, kind="layer")
        self.skip = nn.Parameter(torch.empty(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters; gates start independent of the input, forget gates with biases 3 to 6."""
        for layer in (self.in_proj, self.conv1d, self.norm, self.out_proj):
            if layer is not None:
                layer.reset_parameters()
        self.qkv.normal_(std=(2 / (5 * self.qkv.shape[-1])) ** 0.5)
        for gate in (self.igate, self.fgate):
            gate.weight.zero_()
        self.igate.bias.normal_(std=0.1)
        self.fgate.bias.copy_(torch.linspace(3, 6, self.num_heads))
        self.skip.fill_(1)

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, L, D) to the stream x and the gate z, each (B, L, D_inner)."""
        assert self.in_proj is not None
        return self.in_proj(x).chunk(2, dim=-1)

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Convolve, remember, normalise and gate: (B, L, D_inner)."""
        x, z = inner
        c = short_conv(self.conv1d, x, seq=seq, reverse=reverse)
        h, _, _ = self._remember(c, x, None, None, seq, reverse)
        return self._finish(h, c, z)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, MLSTMState]:
        """Convolve, remember, normalise and gate a chunk from a state to a state."""
        x, z = inner
        if state is None:
            state = self.init_state(x.shape[0], device=x.device, dtype=x.dtype)
        conv, memory, m = state
        c, conv = short_conv(self.conv1d, x, initial_state=conv, return_final_state=True, seq=seq)
        h, memory, m = self._remember(c, x, memory, m, seq, False)
        return self._finish(h, c, z), MLSTMState(conv, memory, m)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, MLSTMState]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        conv, memory, m = state
        x, z = self.expand(x_t)
        c, conv = short_conv_step(self.conv1d, x, conv)
        q, k, v, log_i, log_f = self._operands(c, x)
        after = torch.maximum(log_f + m, log_i).detach()
        k = k * torch.exp(log_i - after)[..., None]
        memory = torch.exp(log_f + m - after)[..., None, None] * memory + k[..., None] * v[..., None, :]
        h = _bounded(read(q, memory) * q.shape[-1] ** -0.5, after)
        return self.contract(self._finish(h, c, z)), MLSTMState(conv, memory, after)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> MLSTMState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        size = self.d_inner // self.num_heads
        return MLSTMState(
            torch.zeros(batch_size, self.d_inner, self.d_conv, device=device, dtype=kind),
            torch.zeros(batch_size, self.num_heads, size, size + 1, device=device, dtype=kind),
            torch.zeros(batch_size, self.num_heads, device=device, dtype=kind),
        )

    def _remember(
        self, c: Tensor, x: Tensor, memory: Tensor | None, m: Tensor | None, seq: Seq | None, reverse: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the heads: h (B, L, H, P), the memory and the stabiliser behind the last step."""
        q, k, v, log_i, log_f = self._operands(c, x)
        first = torch.zeros_like(log_i[:, 0]) if m is None else m
        m_all = stabiliser(log_i, log_f, first, seq, reverse)  # (B, L, H)
        entering = first.unsqueeze(1)
        before = torch.cat((m_all[:, 1:], entering) if reverse else (entering, m_all[:, :-1]), 1)
        # Padding has log i of its own, which m does not bound.
        k = k * torch.exp((log_i - m_all).clamp(max=0))[..., None]
        options: dict[str, Any] = {"initial_state": memory, "seq": seq, "reverse": reverse}
        o, memory = ssd(q, k, v, log_f + before - m_all, return_final_state=True, **options)
        return _bounded(o, m_all), memory, m_all[:, 0] if reverse else m_all[:, -1]

    def _operands(self, c: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """Return q, k (..., H, P), v with a 1 behind it (..., H, P + 1), and log i, log f (..., H).

        All but q in float32 at least.
        """
        blocks = self.qkv.shape[1]
        q, k, v = (
            torch.einsum("...ni,noi->...no", m.unflatten(-1, (blocks, -1)), weight).flatten(-2)
            for m, weight in zip((c, c, x), self.qkv, strict=True)
        )
        kind = state_dtype(c.dtype)
        gates = torch.cat((q, k, v), -1)
        log_i, log_f = self.igate(gates).to(kind), self.fgate(gates).to(kind)
        log_f = F.logsigmoid(log_f) if self.forget_gate == "sigmoid" else log_f
        q, k, v = (split_heads(m, self.num_heads) for m in (q, k, v))
        return q, k.to(kind), F.pad(v.to(kind), (0, 1), value=1.0), log_i, log_f

    def _finish(self, h: Tensor, c: Tensor, z: Tensor) -> Tensor:
        """Normalise each head, add the skip and gate: (..., D_inner)."""
        return (self.norm(h.flatten(-2)).to(z.dtype) + self.skip * c) * F.silu(z)


def _bounded(o: Tensor, m: Tensor) -> Tensor:
    """Divide the readings (..., H, P + 1) by their last column, or by exp(-m) (..., H) where that is larger."""
    least = torch.exp(-m).clamp_min(_TINY)[..., None]
    return o[..., :-1] / torch.maximum(o[..., -1:].abs(), least)


@torch.no_grad()
def stabiliser(log_i: Tensor, log_f: Tensor, first: Tensor, seq: Seq | None, reverse: bool) -> Tensor:
    """Return m_t = max(log f_t + m_{t-1}, log i_t) for every step.

    A scan over pairs (sum of log f, m), doubling its reach: log2(L) passes that add and compare.

    Args:
        log_i: (B, L, H).
        log_f: (B, L, H).
        first: m before the first step (B, H).
        seq: A padded step passes m on, a document starts from 0.
        reverse: The run begins at the right end.

    Returns:
        m (B, L, H).
    """
    if seq is not None and seq.valid is not None:
        pad = ~seq.valid[..., None]
        log_i, log_f = log_i.masked_fill(pad, -torch.inf), log_f.masked_fill(pad, 0)
    reset = None if seq is None else seq.resets(reverse=reverse)
    if reset is not None:
        # A document starts from m = 0, as a sequence does; m stays finite where its first step is padding.
        log_i = torch.where(reset[..., None], torch.maximum(log_i, log_f), log_i)
        log_f = log_f.masked_fill(reset[..., None], -torch.inf)
    m, total = (x.flip(1) if reverse else x.clone() for x in (log_i, log_f))
    m[:, 0] = torch.maximum(m[:, 0], total[:, 0] + first)
    reach = 1
    while reach < m.shape[1]:
        m = torch.cat((m[:, :reach], torch.maximum(m[:, reach:], m[:, :-reach] + total[:, reach:])), 1)
        total = torch.cat((total[:, :reach], total[:, reach:] + total[:, :-reach]), 1)
        reach *= 2
    return m.flip(1) if reverse else m
