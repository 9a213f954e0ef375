"""The delta rule beside its public forms: plain, with a decay a head or a channel, and with a removal of its own.

Loops that slice the time axis have a backward pass quadratic in L: they take part up to L = 1024 there. The chunked
form written here, whose inverse is a loop over rows, writes in place and has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import delta_rule

CHUNK = 64


def maker(*, g: str = "", removal: bool = False) -> Callable[[Shape], Operands]:
    """Return what makes operands with unit keys; g: "head", "channel" or none; removal: with vectors of its own."""

    def make(shape: Shape) -> Operands:
        batch, length, heads, key, value = shape
        random = torch.Generator().manual_seed(0)

        def normal(*size: int) -> Tensor:
            return torch.randn(batch, length, heads, *size, generator=random)

        operands = {"q": normal(key), "k": F.normalize(normal(key), dim=-1), "v": normal(value)}
        if removal:
            read = F.normalize(normal(key), dim=-1)
            operands |= {"write": -read * torch.sigmoid(normal(key)), "read": read}
        else:
            operands["beta"] = torch.sigmoid(normal())
        if g:
            operands["g"] = -0.1 * normal(*([key] if g == "channel" else [])).abs()
        return {name: x.requires_grad_() for name, x in operands.items()}

    return make


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""

    def run(o: Operands) -> Tensor:
        remove = (o["write"], o["read"]) if "read" in o else None
        options: dict[str, Any] = {"g": o.get("g"), "remove": remove, "backend": backend}
        return delta_rule(o["q"], o["k"], o["v"], o.get("beta"), **options)  # type: ignore[return-value]

    return run


def plain_chunks(o: Operands) -> Tensor:
    """The chunked form with a decay a head or none: inverse by a loop over rows, decays as differences of sums."""
    size = min(CHUNK, o["q"].shape[1])
    q, k, v = (o[name].transpose(1, 2).unflatten(2, (-1, size)) for name in "qkv")  # (B, H, n, C, ...)
    beta = o["beta"].transpose(1, 2).unflatten(2, (-1, size))[..., None]
    q, v, key = q * q.shape[-1] ** -0.5, v * beta, k * beta
    g = o["g"].transpose(1, 2).unflatten(2, (-1, size)).cumsum(-1) if "g" in o else beta[..., 0] * 0
    decay = (g[..., :, None] - g[..., None, :]).tril().exp().tril()
    inverse = -(key @ k.mT * decay).tril(-1)
    for i in range(1, size):
        inverse[..., i, :i] += (inverse[..., i, :, None] * inverse[..., :, :i]).sum(-2)
    inverse = inverse + torch.eye(size, device=q.device, dtype=q.dtype)
    w, u = inverse @ (key * g.exp()[..., None]), inverse @ v
    S = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    out = torch.zeros_like(v)
    for i in range(q.shape[2]):
        change = u[:, :, i] - w[:, :, i] @ S
        within = (q[:, :, i] @ k[:, :, i].mT * decay[:, :, i]).tril()
        out[:, :, i] = (q[:, :, i] * g[:, :, i, :, None].exp()) @ S + within @ change
        left = (g[:, :, i, -1, None] - g[:, :, i]).exp()[..., None]
        S = S * g[:, :, i, -1, None, None].exp() + (k[:, :, i] * left).mT @ change
    return out.flatten(2, 3).transpose(1, 2)


def heads_first(operands: Operands) -> Operands:
    """The operands as (B, H, L, ...), as some of flash-linear-attention's forms want them."""
    return {name: x.detach().transpose(1, 2).contiguous().requires_grad_() for name, x in operands.items()}


def fla_plain(form: str) -> Callable[[Operands], Tensor]:
    """flash-linear-attention's naive delta rule, "delta_rule_recurrence" or "delta_rule_chunkwise"."""

    def run(o: Operands) -> Tensor:
        from fla.ops.delta_rule import naive

        return getattr(naive, form)(o["q"], o["k"], o["v"], o["beta"])[0]

    return run


def fla_gated(o: Operands) -> Tensor:
    """flash-linear-attention's naive chunks with a decay a head."""
    from fla.ops.gated_delta_rule.naive import naive_chunk_gated_delta_rule

    return naive_chunk_gated_delta_rule(o["q"], o["k"], o["v"], o["g"], o["beta"], chunk_size=CHUNK)[0]


def fla_channels(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop of Kimi Delta Attention."""
    from fla.ops.kda.naive import naive_recurrent_kda

    return naive_recurrent_kda(o["q"], o["k"], o["v"], o["g"], o["beta"])[0]


def fla_removal(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop of a diagonal plus a rank-one term."""
    from fla.ops.generalized_delta_rule.dplr.naive import dplr_recurrence

    return dplr_recurrence(o["q"], o["k"], o["v"], o["read"], o["write"], o["g"])[0]


def jax_scan(o: Operands) -> Any:
    """`lax.scan` over the steps."""
    jax = load()
    steps = {name: x.swapaxes(0, 1) for name, x in o.items()}  # (L, B, H, ...)

    def step(S: Any, x: Any) -> Any:
        decayed = S
        if "g" in x:
            g = x["g"] if x["g"].ndim == 3 else x["g"][..., None]
            decayed = jax.numpy.exp(g)[..., None] * S
        if "read" in x:
            removed = x["write"][..., None] * (x["read"][..., None] * S).sum(-2)[..., None, :]
            S = decayed + removed + x["k"][..., None] * x["v"][..., None, :]
        else:
            change = (x["v"] - (x["k"][..., None] * decayed).sum(-2)) * x["beta"][..., None]
            S = decayed + x["k"][..., None] * change[..., None, :]
        return S, (x["q"][..., None] * S).sum(-2) * x["q"].shape[-1] ** -0.5

    start = jax.numpy.zeros((*o["k"].shape[:1], *o["k"].shape[2:], o["v"].shape[-1]), o["v"].dtype)
    return jax.lax.scan(step, start, steps)[1].swapaxes(0, 1)


def _forward(shape: Shape, backward: bool) -> bool:
    return not backward


def _short(shape: Shape, backward: bool) -> bool:
    return not backward or shape[1] <= 1024


def _turned(y: Tensor) -> Tensor:
    return y.transpose(1, 2)


def _bench(name: str, numbers: int, make: Callable[[Shape], Operands], peers: dict[str, Contender]) -> Bench:
    """A bench of one kind; `numbers`: how many (B, L, H, K) operands and outputs there are, V counted as K."""
    base: list[Shape] = [(1, 2048, 4, 64, 64)]
    return Bench(
        name,
        "B L H K V",
        make,
        {"seqsuite": Contender(ours(None)), "reference": Contender(ours("reference"))}
        | peers
        | {"jax lax.scan": jax_contender(jax_scan)},
        {
            "tiny": [(2, 64, 2, 8, 8)],
            "quick": base,
            "full": [(1, 1024, 4, 64, 64), *base] + ([(1, 2048, 2, 128, 128)] if name.endswith("plain") else []),
        },
        bytes=lambda shape: 4.0 * shape[0] * shape[1] * shape[2] * shape[3] * numbers,
        flops=lambda shape: 7.0 * shape[0] * shape[1] * shape[2] * shape[3] * shape[4],
        memory=base,
        growth=[(1, length, 4, 64, 64) for length in (1024, 4096, 16384)],
    )


_CHUNKS = {"chunks, plain": Contender(plain_chunks, serves=_forward)}

BENCHES = {
    "plain": _bench(
        "delta_rule:plain",
        4,
        maker(),
        _CHUNKS
        | {
            "fla naive, loop": Contender(
                fla_plain("delta_rule_recurrence"), needs="fla", prepare=heads_first, finish=_turned, serves=_short
            ),
            "fla naive, chunks": Contender(
                fla_plain("delta_rule_chunkwise"), needs="fla", prepare=heads_first, finish=_turned, half=False
            ),
        },
    ),
    "gated": _bench(
        "delta_rule:gated", 4, maker(g="head"), _CHUNKS | {"fla naive, chunks": Contender(fla_gated, needs="fla")}
    ),
    "vector": _bench(
        "delta_rule:vector",
        5,
        maker(g="channel"),
        {"fla naive, loop": Contender(fla_channels, needs="fla", serves=_short)},
    ),
    "removal": _bench(
        "delta_rule:removal",
        7,
        maker(g="channel", removal=True),
        {"fla naive, loop": Contender(fla_removal, needs="fla", prepare=heads_first, finish=_turned, serves=_short)},
    ),
}
