"""Gated linear attention with a decay a head ("scalar", Mamba-2) or a key ("vector", GLA) beside its public forms.

The paper's listing is its mathematics written anew: matrices of segment sums, whole tensors. The loops of
flash-linear-attention slice the time axis, so that their backward pass is quadratic: they take part up to L = 1024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import ssd

CHUNK = 64


def scalar(shape: Shape) -> Operands:
    """Queries and keys (B, L, G, K), values (B, L, H, V), log decays (B, L, H)."""
    return _make(shape, (shape[2],), 1)


def vector(shape: Shape) -> Operands:
    """The same with log decays (B, L, H, K), sixteen times weaker."""
    return _make(shape, (shape[2], shape[4]), 16)


def _make(shape: Shape, decays: tuple[int, ...], weaker: float) -> Operands:
    batch, length, heads, groups, keys, values = shape
    random = torch.Generator().manual_seed(0)
    sizes = {"q": (groups, keys), "k": (groups, keys), "v": (heads, values), "g": decays}
    operands = {name: torch.randn(batch, length, *size, generator=random) for name, size in sizes.items()}
    operands["g"] = F.logsigmoid(operands["g"]) / weaker
    return {name: x.requires_grad_() for name, x in operands.items()}


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""
    return lambda o: ssd(**o, scale=1.0, backend=backend)  # type: ignore[return-value]


def segment_sums(g: Tensor) -> Tensor:
    """(..., Q) to (..., Q, Q): sums of the elements behind a column's up to a row's, minus infinity above."""
    steps = g.shape[-1]
    below = torch.ones(steps, steps, dtype=torch.bool, device=g.device).tril(-1)
    sums = g[..., None].expand(*g.shape, steps).masked_fill(~below, 0).cumsum(-2)
    return sums.masked_fill(~torch.ones_like(below).tril(), -torch.inf)


def paper_listing(o: Operands) -> Tensor:
    """Section 6 of the Mamba-2 paper as tensor contractions over all chunks at once; one group."""
    heads = o["v"].shape[2]
    q, k, v, g = (o[name].unflatten(1, (-1, min(CHUNK, o["q"].shape[1]))) for name in "qkvg")
    q, k = (x.expand(-1, -1, -1, heads, -1) for x in (q, k))
    g = g.permute(0, 3, 1, 2)  # (B, H, chunks, Q)
    sums = g.cumsum(-1)
    inside = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", q, k, torch.exp(segment_sums(g)), v)
    states = torch.einsum("bclhn,bhcl,bclhp->bchpn", k, torch.exp(sums[..., -1:] - sums), v)
    states = torch.cat((torch.zeros_like(states[:, :1]), states), 1)
    carry = torch.exp(segment_sums(F.pad(sums[..., -1], (1, 0))))
    starts = torch.einsum("bhzc,bchpn->bzhpn", carry, states)[:, :-1]
    across = torch.einsum("bclhn,bchpn,bhcl->bclhp", q, starts, torch.exp(sums))
    return (inside + across).flatten(1, 2)


def transformers_scan(o: Operands) -> Tensor:
    """The slow path of transformers' Mamba2: its public function, with A = -1 and step sizes -g."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    step = -o["g"]
    v, decay = o["v"] / step[..., None], -torch.ones(step.shape[2], device=step.device)
    y = mamba2_chunk_scan(v, step, decay, o["k"], o["q"], chunk_size=CHUNK)
    return y[0] if isinstance(y, tuple) else y


def fla_chunks(o: Operands) -> Tensor:
    """flash-linear-attention's naive chunks with one decay a head."""
    from fla.ops.simple_gla.naive import naive_chunk_simple_gla

    q, k = (o[name].expand(-1, -1, o["v"].shape[2], -1) for name in "qk")
    return naive_chunk_simple_gla(q, k, o["v"], o["g"], scale=1.0)[0]


def fla_loop(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop with a decay a key."""
    from fla.ops.gla.naive import naive_recurrent_gla

    return naive_recurrent_gla(o["q"] * o["q"].shape[3] ** 0.5, o["k"], o["v"], o["g"])[0]


def jax_scan(o: Operands) -> Any:
    """`lax.scan` over the steps."""
    jax = load()
    heads = o["v"].shape[2]
    q, k, v, g = (o[name].swapaxes(0, 1) for name in "qkvg")  # (L, B, ...)
    q, k = (jax.numpy.broadcast_to(x, (*x.shape[:2], heads, x.shape[3])) for x in (q, k))
    decay = jax.numpy.exp(g if g.ndim == 4 else g[..., None])[..., None]

    def step(S: Any, now: Any) -> Any:
        S = now[3] * S + now[1][..., None] * now[2][..., None, :]
        return S, (now[0][..., None] * S).sum(-2)

    start = jax.numpy.zeros((*k.shape[1:], v.shape[-1]), v.dtype)
    return jax.lax.scan(step, start, (q, k, v, decay))[1].swapaxes(0, 1)


def _short(shape: Shape, backward: bool) -> bool:
    return not backward or shape[1] <= 1024


def _one_group(shape: Shape, backward: bool) -> bool:
    return shape[3] == 1


def _kept(shape: Shape, backward: bool) -> bool:
    """The backward pass of a loop keeps the states of all steps: 2 GB at L = 16384."""
    return not backward or shape[1] <= 4096


def _one_group_kept(shape: Shape, backward: bool) -> bool:
    return _one_group(shape, backward) and _kept(shape, backward)


def _flops(shape: Shape) -> float:
    """Decay, outer product, sum and query for every element of the state and step."""
    batch, length, heads, _, keys, values = shape
    return 5.0 * batch * length * heads * keys * values


def _bytes(shape: Shape, decays: int) -> float:
    batch, length, heads, groups, keys, values = shape
    return 4.0 * batch * length * (2 * groups * keys + 2 * heads * values + heads * decays)


_OURS = {"seqsuite": Contender(ours(None)), "reference": Contender(ours("reference"), serves=_kept)}
_LENGTHS = (1024, 4096, 16384, 65536)

BENCHES = {
    "scalar": Bench(
        "ssd:scalar",
        "B L H G K V",
        scalar,
        _OURS
        | {
            "paper listing": Contender(paper_listing, serves=_one_group),
            "transformers": Contender(transformers_scan, needs="transformers"),
            "fla naive, chunks": Contender(fla_chunks, needs="fla", serves=_one_group),
            "jax lax.scan": jax_contender(jax_scan, serves=_one_group_kept),
        },
        {
            "tiny": [(2, 64, 2, 1, 8, 8)],
            "quick": [(1, 2048, 8, 1, 64, 64)],
            "full": [
                (1, 2048, 8, 1, 64, 64),
                (1, 2048, 8, 1, 128, 64),
                (2, 1024, 16, 1, 64, 64),
                (1, 16384, 8, 1, 64, 64),
            ],
        },
        bytes=lambda shape: _bytes(shape, 1),
        flops=_flops,
        memory=[(1, 2048, 8, 1, 64, 64)],
        growth=[(1, length, 4, 1, 64, 64) for length in _LENGTHS],
    ),
    "vector": Bench(
        "ssd:vector",
        "B L H G K V",
        vector,
        _OURS
        | {
            "fla naive, loop": Contender(fla_loop, needs="fla", serves=_short),
            "jax lax.scan": jax_contender(jax_scan),
        },
        {
            "tiny": [(2, 19, 2, 2, 8, 8)],
            "quick": [(1, 2048, 4, 4, 64, 64)],
            "full": [(1, 1024, 4, 4, 64, 64), (1, 2048, 4, 4, 64, 64), (1, 2048, 4, 4, 32, 64)],
        },
        bytes=lambda shape: _bytes(shape, shape[4]),
        flops=_flops,
        memory=[(1, 2048, 4, 4, 64, 64)],
        growth=[(1, length, 4, 4, 64, 64) for length in _LENGTHS],
    ),
}
