"""EinFFT with four blocks, as published, beside its formula: complex FFTs over all frequencies, by autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import einfft

BLOCKS = 4


def make(shape: Shape) -> Operands:
    """Input (B, L, D) and two block-diagonal complex layers."""
    size = shape[2] // BLOCKS
    random = torch.Generator().manual_seed(0)
    weight, bias = (2, BLOCKS, size, size), (2, BLOCKS, size)
    sizes = {"x": shape, "weight1": weight, "bias1": bias, "weight2": weight, "bias2": bias}
    return {name: torch.randn(*each, generator=random).mul_(0.3).requires_grad_() for name, each in sizes.items()}


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""
    return lambda o: einfft(**o, backend=backend)


def _flops(shape: Shape) -> float:
    """Two real transforms and two block-diagonal complex products over half the frequencies."""
    batch, length, width = shape
    transforms = 2 * 2.5 * length * max(1, length.bit_length() - 1) * width
    return batch * (transforms + 2 * (length // 2 + 1) * 8 * width * width / BLOCKS)


BENCH = Bench(
    "einfft",
    "B L D",
    make,
    {"seqsuite": Contender(ours(None)), "reference": Contender(ours("reference"))},
    {
        "tiny": [(2, 9, 16)],
        "quick": [(8, 196, 320), (1, 4096, 64)],
        "full": [(8, 196, 320), (2, 3136, 64), (4, 784, 128), (8, 50, 512), (1, 16384, 64), (1, 1021, 256)],
    },
    bytes=lambda shape: 4.0 * (2 * shape[0] * shape[1] * shape[2] + 4 * shape[2] ** 2 / BLOCKS),
    flops=_flops,
    memory=[(2, 3136, 64), (1, 16384, 64)],
    growth=[(1, 4096, 64), (1, 16384, 64), (1, 65536, 64), (1, 262144, 64)],
)
BENCHES = {"": BENCH}
