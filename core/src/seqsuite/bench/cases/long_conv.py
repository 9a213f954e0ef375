"""The long convolution beside what people write otherwise; as many taps as steps, with the skip.

The expression that autograd differentiates pads to 2 L, as public code does. The grouped F.conv1d has its
operands channel-first, and takes part up to L = 1024: its cost is quadratic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import long_conv


def make(shape: Shape) -> Operands:
    """Input (B, L, D), kernel (L, D) and skip (D,)."""
    batch, length, width = shape
    random = torch.Generator().manual_seed(0)
    sizes = {"u": (batch, length, width), "k": (length, width), "D": (width,)}
    return {name: torch.randn(*size, generator=random).requires_grad_() for name, size in sizes.items()}


def ours(backend: str | None, **options: Any) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""
    return lambda o: long_conv(o["u"], o["k"], D=o["D"], backend=backend, **options)


def expression(o: Operands) -> Tensor:
    """The product of spectra padded to 2 L, differentiated by autograd."""
    length = o["u"].shape[1]
    spectrum = torch.fft.rfft(o["u"], 2 * length, dim=1) * torch.fft.rfft(o["k"], 2 * length, dim=0)
    return torch.fft.irfft(spectrum, 2 * length, dim=1)[:, :length] + o["u"] * o["D"]


def exactly(o: Operands) -> Tensor:
    """The same in double precision, on operands of any precision."""
    return expression({name: x.double() for name, x in o.items()})


def jax_expression(o: Operands) -> Any:
    """The same, jitted."""
    jax = load()
    length = o["u"].shape[1]
    fft = jax.numpy.fft
    spectrum = fft.rfft(o["u"], 2 * length, axis=1) * fft.rfft(o["k"], 2 * length, axis=0)
    return fft.irfft(spectrum, 2 * length, axis=1)[:, :length] + o["u"] * o["D"]


def grouped_conv1d(o: Operands) -> Tensor:
    """PyTorch's direct convolution, one group a channel."""
    length, width = o["u"].shape[1:]
    y = F.conv1d(o["u"].mT, o["k"].flip(0).t()[:, None], padding=length - 1, groups=width)[..., :length]
    return y.mT + o["u"] * o["D"]


def _short(shape: Shape, backward: bool) -> bool:
    return shape[1] <= 1024


def _bytes(shape: Shape) -> float:
    batch, length, width = shape
    return 4.0 * length * width * (2 * batch + 1)


def _flops(shape: Shape) -> float:
    """Three real transforms of 2 L points, 2.5 n log2 n each, and the product."""
    batch, length, width = shape
    points = 2 * length
    transform = 2.5 * points * max(1, points.bit_length() - 1)
    return width * ((2 * batch + 1) * transform + batch * 3 * points)


BENCH = Bench(
    "long_conv",
    "B L D",
    make,
    {
        "seqsuite": Contender(ours(None)),
        "seqsuite, recompute": Contender(ours(None, recompute=True)),
        "reference": Contender(ours("reference"), serves=_short),
        "rfft by autograd": Contender(expression, half=False),
        "jax rfft": jax_contender(jax_expression, half=False),
        "grouped conv1d": Contender(grouped_conv1d, serves=_short),
    },
    {
        "tiny": [(2, 64, 4)],
        "quick": [(2, 256, 64), (2, 4096, 64)],
        "full": [
            (2, 256, 64),
            (2, 1024, 64),
            (2, 1024, 256),
            (2, 4096, 64),
            (2, 4096, 256),
            (2, 10007, 64),
            (2, 16384, 64),
            (1, 131072, 16),
        ],
    },
    _bytes,
    _flops,
    memory=[(2, 4096, 256), (2, 16384, 64), (1, 131072, 16)],
    growth=[(1, 4096, 64), (1, 16384, 64), (1, 65536, 64), (1, 262144, 64)],
    truth=exactly,
)
BENCHES = {"": BENCH}
