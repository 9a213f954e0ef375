"""Softmax attention: many heads, grouped keys, sliding windows, rotary or linear positions or none.

    q, k, v = in_proj(x)
    o = attention(rotate(q), rotate(k), v);  out = out_proj(o)      seqsuite.ops.attention, see there

Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762); grouped queries https://arxiv.org/abs/2305.13245; RoPE
https://arxiv.org/abs/2104.09864; ALiBi https://arxiv.org/abs/2108.12409; NoPE, no positions at all,
https://arxiv.org/abs/2305.19466. Positions count valid steps of a document: they restart with it and skip
padding. The state is a cache of keys and values, newest last, as long as the window or, without one, as
`max_length`. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._heads import most_heads
from seqsuite.mixers._rotary import cos_sin
from seqsuite.mixers.base import Mixer, ProjectedMixer, reverse_seq, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, attention

_OWNER = "mixer 'attention'"
Position = Literal["rope", "alibi", "nope"]


class AttentionState(NamedTuple):
    """What attention carries from step to step.

    Attributes:
        k: (B, C, G, K) keys, positions applied, newest last; C is the window or `max_length`.
        v: (B, C, G, K) values.
        seen: (B,) steps of the present document so far: the last ones of the cache are filled.
    """

    k: Tensor
    v: Tensor
    seen: Tensor


def alibi_slopes(heads: int) -> Tensor:
    """Return ALiBi's slopes (H,): powers of 2^(-8 / H), for other counts than 2^n filled up from the next one."""
    floor = 1 << (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / floor) for i in range(floor)]
    slopes += [2 ** (-8 * (i + 1) / (2 * floor)) for i in range(0, 2 * (heads - floor), 2)]
    return torch.tensor(slopes, dtype=torch.float64)


def rotate(x: Tensor, place: Tensor, base: float) -> Tensor:
    """Turn the pairs (i, i + K // 2) of (B, L, H, K) by the position times base^(-2 i / K); an odd last stays.

    Args:
        x: Queries or keys.
        place: (B or 1, L) positions.
        base: Of the frequencies.
    """
    half = x.shape[-1] // 2
    cos, sin = cos_sin(place[..., None], half, base, span=half, dtype=state_dtype(x.dtype))  # (B, L, 1, K / 2)
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), dim=-1)
    turned = (first * cos - second * sin, first * sin + second * cos)
    return torch.cat((*(part.to(x.dtype) for part in turned), rest), -1)


def places(seq: Seq | None, length: int, count: Tensor) -> tuple[Tensor, Tensor]:
    """Count the valid steps of each document.

    Args:
        seq: Padding and packing.
        length: L.
        count: (B,) steps of the entering document before.

    Returns:
        The position (B, L) of each step in its document, and the steps of the last one so far (B,).
    """
    if seq is None or (seq.valid is None and seq.segment is None):
        return count[:, None] + torch.arange(length, device=count.device), count + length
    shape = (len(count), length)
    valid = torch.ones(shape, device=count.device) if seq.valid is None else seq.valid
    seen = valid.to(count.dtype).cumsum(1)
    before = seen - valid.to(count.dtype)
    offset = count[:, None].expand(shape)
    if seq.segment is not None:
        resets = seq.resets()
        assert resets is not None
        start = torch.where(resets, before, 0).cummax(1).values
        offset = torch.where(seq.segment == 0, offset, -start)
    return before + offset, seen[:, -1] + offset[:, -1]


class Attention(ProjectedMixer):
    """Multi-head softmax attention, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: Query heads; by default the most that divide D and leave 32 channels to each, else 1.
        num_kv_heads: Heads of keys and values, each shared by as many query heads; `num_heads` by default.
        head_dim: Channels of a head; ``d_model // num_heads`` by default.
        window: A position sees positions less than this far away; all by default.
        causal: A position sees no later one. Without this there is no recurrent form.
        position: "rope" turns queries and keys, "alibi" subtracts a slope times the distance, "nope" has none.
        rope_base: Base of the rotary frequencies.
        qk_norm: Normalise queries and keys of each head (RMS, learned scale) before positions are applied.
        bias: The projections have a bias.
        max_length: Steps that the state holds where there is no window; `forward` takes any length.
        dropout: In training, the probability with which an attention weight is set to 0; from torch's own generator.
    """

    causal: bool = True

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | None = None,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        window: int | None = None,
        causal: bool = True,
        position: Position = "rope",
        rope_base: float = 10000.0,
        qk_norm: bool = False,
        bias: bool = False,
        max_length: int = 2048,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(d_model)
        if num_heads is None:
            num_heads = most_heads(d_model, d_model, least=32)
        self.num_heads, self.num_kv_heads = num_heads, num_heads if num_kv_heads is None else num_kv_heads
        sizes = {"d_model": d_model, "num_heads": num_heads, "num_kv_heads": self.num_kv_heads}
        check_range(_OWNER, sizes | {"max_length": max_length}, least=1)
        if head_dim is None and d_model % num_heads:
            raise UserError(f"{_OWNER}: num_heads must divide d_model, {d_model}, not {num_heads}; or give head_dim")
        if num_heads % self.num_kv_heads:
            raise UserError(f"{_OWNER}: num_kv_heads must divide num_heads, {num_heads}, not {self.num_kv_heads}")
        self.head_dim = d_model // num_heads if head_dim is None else head_dim
        given = {"head_dim": self.head_dim} | ({} if window is None else {"window": window})
        check_range(_OWNER, given, least=1)
        check_range(_OWNER, {"rope_base": rope_base}, above=0)
        check_range(_OWNER, {"dropout": dropout}, least=0)
        if dropout >= 1:
            raise UserError(f"{_OWNER}: dropout must be below 1, not {dropout}")
        self.causal = causal
        self.window, self.position, self.rope_base, self.max_length = window, position, rope_base, max_length
        self.dropout = dropout
        width = self.num_heads * self.head_dim
        self.in_proj = nn.Linear(d_model, width + 2 * self.num_kv_heads * self.head_dim, bias=bias)
        self.out_proj = nn.Linear(width, d_model, bias=bias)
        self.q_norm, self.k_norm = (nn.RMSNorm(self.head_dim, eps=1e-6) if qk_norm else None for _ in range(2))
        if qk_norm:
            self.no_decay = frozenset({"q_norm.weight", "k_norm.weight"})
        self.reset_parameters()
        self.mark_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections from Xavier's uniform distribution, biases 0, norms 1."""
        for layer in (self.in_proj, self.out_proj):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for norm in (self.q_norm, self.k_norm):
            if norm is not None:
                norm.reset_parameters()

    @property
    def recurrent(self) -> bool:
        """Whether the mixer has `prefill` and `step`: a causal one has."""
        return self.causal

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, L, D) to queries (B, L, H K), keys and values (B, L, G K)."""
        assert self.in_proj is not None
        kv = self.num_kv_heads * self.head_dim
        return self.in_proj(x).split((self.num_heads * self.head_dim, kv, kv), dim=-1)

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Attend: (B, L, H K)."""
        if reverse:
            turned = tuple(stream.flip(1) for stream in inner)
            return self.mix(turned, seq=reverse_seq(seq)).flip(1)
        place, _ = places(seq, inner[0].shape[1], inner[0].new_zeros(len(inner[0]), dtype=torch.long))
        q, k, v = self._heads(inner, place)
        return self._attend(q, k, v, seq=seq)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, AttentionState]:
        """Attend from a state to a state.

        Raises:
            seqsuite.errors.UserError: Without a window, if the document grows beyond `max_length`.
        """
        self._require_causal()
        if state is None:
            state = self.init_state(len(inner[0]), device=inner[0].device, dtype=inner[0].dtype)
        k_cache, v_cache, count = state
        place, after = places(seq, inner[0].shape[1], count)
        self._require_room(after)
        q, k, v = self._heads(inner, place)
        used = min(k_cache.shape[1], int(count.max())) if len(count) else 0
        k_all, v_all = (
            torch.cat((cache[:, cache.shape[1] - used :], new.to(cache.dtype)), 1)
            for cache, new in ((k_cache, k), (v_cache, v))
        )
        past = count.clamp(max=used).long()
        y = self._attend(q, k_all.to(q.dtype), v_all.to(q.dtype), seq=seq, past=None if (past == used).all() else past)
        kept = _newest(k_all, v_all, past, seq, k_cache.shape[1])
        return y, AttentionState(*kept, after)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, AttentionState]:
        """Mix one step (B, D)."""
        y, after = self.mix_from(self.expand(x_t.unsqueeze(1)), state)
        return self.contract(y)[:, 0], after

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> AttentionState:
        """Return an empty cache; see `Mixer.init_state`. Its size is the window's or the option `max_length`."""
        self._require_causal()
        if self.window is None and max_length is not None and max_length > self.max_length:
            raise UserError(
                f"{_OWNER}: max_length={self.max_length} is too short for {max_length} steps; build it larger"
            )
        kind = state_dtype(dtype)
        size = self.max_length if self.window is None else self.window
        shape = (batch_size, size, self.num_kv_heads, self.head_dim)
        k, v = (torch.zeros(shape, device=device, dtype=kind) for _ in range(2))
        return AttentionState(k, v, torch.zeros(batch_size, device=device, dtype=kind))

    def _require_causal(self) -> None:
        if not self.causal:
            Mixer.init_state(self, 1, device="cpu", dtype=torch.float32)  # says that there is no recurrent form

    def _require_room(self, count: Tensor) -> None:
        if self.window is None and len(count) and int(count.max()) > self.max_length:
            raise UserError(
                f"{_OWNER}: max_length={self.max_length} is too short for {int(count.max())} steps; build it larger"
            )

    def _heads(self, inner: tuple[Tensor, ...], place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split into heads, normalise and apply rotary positions."""
        q, k, v = (stream.unflatten(-1, (-1, self.head_dim)) for stream in inner)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.position == "rope":
            q, k = (rotate(m, place, self.rope_base) for m in (q, k))
        return q, k, v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, *, seq: Seq | None, past: Tensor | None = None) -> Tensor:
        slopes = alibi_slopes(self.num_heads).to(q) if self.position == "alibi" else None
        rate = self.dropout if self.training else 0.0
        out = attention(
            q, k, v, causal=self.causal, window=self.window, slopes=slopes, seq=seq, past=past, dropout=rate
        )
        return out.flatten(2)


def _newest(k: Tensor, v: Tensor, past: Tensor, seq: Seq | None, size: int) -> tuple[Tensor, Tensor]:
    """Return the last `size` valid keys and values of the last document, newest last, zeros before them.

    Args:
        k: (B, S, G, K) cached and new keys.
        v: (B, S, G, K) values.
        past: (B,) how many of the cached ones, the last, are there.
        seq: Padding and packing of the new ones.
        size: Places in the cache.
    """
    batch, keys = k.shape[:2]
    if seq is not None and (seq.valid is not None or seq.segment is not None):
        length = (seq.valid if seq.valid is not None else seq.segment).shape[1]  # type: ignore[union-attr]
        cached = keys - length
        there = torch.arange(cached, device=k.device) >= cached - past[:, None]
        valid = there.new_ones(batch, length) if seq.valid is None else seq.valid
        if seq.segment is not None:
            there = there & (seq.segment[:, -1:] == 0)
            valid = valid & (seq.segment == seq.segment[:, -1:])
        keep = torch.cat((there, valid), 1)
        order = torch.argsort(keep.to(torch.int8), dim=1, stable=True)[..., None, None]
        gone = ~keep.gather(1, order[..., 0, 0])[..., None, None]
        k, v = (m.gather(1, order.expand_as(m)).masked_fill(gone, 0) for m in (k, v))
    pad = (0, 0, 0, 0, max(0, size - keys), 0)
    k, v = (nn.functional.pad(m[:, max(0, keys - size) :], pad) for m in (k, v))
    return k, v
