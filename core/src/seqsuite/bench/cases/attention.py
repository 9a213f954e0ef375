"""Softmax attention beside PyTorch's SDPA with a dense mask: causal, and with a sliding window of W keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import attention


def make(shape: Shape) -> Operands:
    """Queries, keys and values (B, L, H, K), and the window."""
    batch, length, heads, size, window = shape
    random = torch.Generator().manual_seed(0)
    operands = {name: torch.randn(batch, length, heads, size, generator=random).requires_grad_() for name in "qkv"}
    return operands | {"window": window}


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths; a window as long as the row is none."""

    def run(o: Operands) -> Tensor:
        window = o["window"] if o["window"] < o["q"].shape[1] else None
        return attention(o["q"], o["k"], o["v"], causal=True, window=window, backend=backend)

    return run


def sdpa(**options: Any) -> Callable[[Operands], Tensor]:
    """SDPA with heads in front, as it wants them; with the dense mask, which is made within, or with `options`."""

    def run(o: Operands) -> Tensor:
        q, k, v = (o[name].transpose(1, 2) for name in "qkv")
        return F.scaled_dot_product_attention(q, k, v, **(options or {"attn_mask": _mask(o)})).transpose(1, 2)

    return run


def _mask(o: Operands) -> Tensor:
    places = torch.arange(o["q"].shape[1], device=o["q"].device)
    behind = places[:, None] - places
    return (behind >= 0) & (behind < o["window"])


def _no_window(shape: Shape, backward: bool) -> bool:
    return shape[4] >= shape[1]


def _moderate(shape: Shape, backward: bool) -> bool:
    """The reference holds all (L, L) weights."""
    return shape[1] <= 2048


def _flops(shape: Shape) -> float:
    """Two products for each pair of a query and a key that it sees."""
    batch, length, heads, size, window = shape
    window = min(window, length)
    pairs = window * (window + 1) / 2 + (length - window) * window
    return 4.0 * batch * heads * size * pairs


def _bench(name: str, tiny: Shape, quick: Shape, full: list[Shape], growth: list[Shape]) -> Bench:
    return Bench(
        name,
        "B L H K W",
        make,
        {
            "seqsuite": Contender(ours(None)),
            "reference": Contender(ours("reference"), serves=_moderate),
            "SDPA, dense mask": Contender(sdpa()),
            "SDPA, is_causal": Contender(sdpa(is_causal=True), serves=_no_window),
        },
        {"tiny": [tiny], "quick": [quick], "full": full},
        bytes=lambda shape: 16.0 * shape[0] * shape[1] * shape[2] * shape[3],
        flops=_flops,
        memory=[quick],
        growth=growth,
        truth=sdpa(),
    )


BENCHES = {
    "causal": _bench(
        "attention:causal",
        (2, 19, 2, 8, 19),
        (1, 1024, 4, 64, 1024),
        [(1, 1024, 4, 64, 1024), (1, 4096, 4, 64, 4096)],
        [],
    ),
    "window": _bench(
        "attention:window",
        (2, 19, 2, 8, 5),
        (1, 4096, 4, 64, 128),
        [(1, 1024, 4, 64, 128), (1, 4096, 4, 64, 128), (1, 8192, 4, 64, 512)],
        [(1, length, 4, 64, 128) for length in (2048, 8192, 32768)],
    ),
}
