"""The short causal convolution with SiLU beside PyTorch's padded depthwise F.conv1d."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import causal_conv1d


def make(shape: Shape) -> Operands:
    """Input (B, L, D), taps (D, K) and bias (D,)."""
    batch, length, width, taps = shape
    random = torch.Generator().manual_seed(0)
    sizes = {"x": (batch, length, width), "weight": (width, taps), "bias": (width,)}
    return {name: torch.randn(*size, generator=random).requires_grad_() for name, size in sizes.items()}


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""
    return lambda o: causal_conv1d(**o, activation="silu", backend=backend)  # type: ignore[return-value]


def channel_first(operands: Operands) -> Operands:
    """The input with time last, as F.conv1d wants it."""
    return operands | {"x": operands["x"].detach().mT.contiguous().requires_grad_()}


def padded_conv1d(o: Operands) -> Tensor:
    """F.conv1d with a group for each channel, padded on both sides and cut, as public Mamba code has it."""
    taps = o["weight"].shape[1]
    y = F.conv1d(o["x"], o["weight"][:, None], o["bias"], padding=taps - 1, groups=len(o["weight"]))
    return F.silu(y[..., : o["x"].shape[2]])


def transposed_conv1d(o: Operands) -> Tensor:
    """The same from a channel-last input, as a channel-last layer must call it."""
    return padded_conv1d({**o, "x": o["x"].mT}).mT.contiguous()


BENCH = Bench(
    "causal_conv1d",
    "B L D K",
    make,
    {
        "seqsuite": Contender(ours(None)),
        "reference": Contender(ours("reference")),
        "F.conv1d, channel-last": Contender(transposed_conv1d),
        "F.conv1d, channel-first": Contender(padded_conv1d, prepare=channel_first, finish=lambda y: y.mT),
    },
    {
        "tiny": [(1, 16, 8, 4)],
        "quick": [(1, 4096, 256, 4)],
        "full": [(1, 1024, 256, 4), (1, 4096, 256, 4), (2, 2048, 1024, 4), (1, 65536, 64, 4), (1, 4096, 256, 3)],
    },
    bytes=lambda shape: 8.0 * shape[0] * shape[1] * shape[2],
    flops=lambda shape: float(shape[0] * shape[1] * shape[2] * (2 * shape[3] + 5)),
    memory=[(1, 4096, 256, 4)],
    growth=[(1, 4096, 64, 4), (1, 16384, 64, 4), (1, 65536, 64, 4), (1, 262144, 64, 4)],
)
BENCHES = {"": BENCH}
