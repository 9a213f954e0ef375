"""Kernels of S4D and S4 beside the literal expressions.

"vandermonde" is the whole kernel of a diagonal system, beside an einsum over all powers (H, N, L); "cauchy" the
product under S4's kernel, four numerators a pole, beside the sum over all quotients (4, H, 2 N, L / 2); "coupled" the
whole kernel of S4, for which there is no literal expression but the recurrence. N counts conjugate pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import cauchy, ssm_kernel

LARGEST = 1 << 28
"""Complex elements of a literal expression's intermediate at most: 2 GB in single precision."""


def _random(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0), dtype=torch.complex64)


def _steps(heads: int) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.empty(heads).uniform_(math.log(1e-3), math.log(0.1), generator=random).exp()


def diagonal(shape: Shape) -> Operands:
    """S4D-Lin: A = -1/2 - i pi n, steps from 1e-3 to 0.1, random C."""
    heads, states, length = shape
    A = torch.complex(torch.full((heads, states), -0.5), -math.pi * torch.arange(float(states)).expand(heads, -1))
    operands = {"dt": _steps(heads), "A": A, "C": _random(1, heads, states)}
    return {name: x.requires_grad_() for name, x in operands.items()} | {"L": length}


def low_rank(shape: Shape) -> Operands:
    """S4: HiPPO-LegS, one (A, B, P) for all heads."""
    from seqsuite.mixers.hippo import nplr

    heads, states, length = shape
    parts = nplr("legs", 2 * states)
    operands = {"dt": _steps(heads), "C": _random(1, heads, states)}
    operands |= {"A": parts.A[None], "B": parts.B[None], "P": parts.P[:, None]}
    single = {name: x.to(torch.complex64) if x.is_complex() else x for name, x in operands.items()}
    return {name: x.requires_grad_() for name, x in single.items()} | {"L": length}


def quotients(shape: Shape) -> Operands:
    """Numerators (4, H, N), the frequencies of a kernel of L steps, poles (H, N)."""
    from seqsuite.mixers.hippo import nplr

    heads, states, length = shape
    y = 2 * torch.tan(math.pi / length * torch.arange((length + 1) // 2))
    w = (_steps(heads)[:, None] * nplr("legs", 2 * states).A).to(torch.complex64)
    v = _random(4, heads, states)
    return {"v": v.requires_grad_(), "z": torch.complex(torch.zeros_like(y), y), "w": w.requires_grad_()}


def kernel(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths; without P by zero-order hold."""

    def run(o: Operands) -> Tensor:
        if "P" in o:
            return ssm_kernel(o["dt"], o["A"], o["B"], o["C"], o["L"], P=o["P"], backend=backend)  # type: ignore[return-value]
        B = torch.ones_like(o["A"])
        return ssm_kernel(o["dt"], o["A"], B, o["C"], o["L"], discretization="zoh", backend=backend)  # type: ignore[return-value]

    return run


def product(backend: str | None) -> Callable[[Operands], Tensor]:
    """The Cauchy product on one of its paths."""
    return lambda o: cauchy(o["v"], o["z"], o["w"], backend=backend)


def literal_kernel(o: Operands) -> Tensor:
    """All powers of all modes as one tensor, then the sum over modes."""
    steps = torch.arange(o["L"], device=o["A"].device, dtype=o["dt"].dtype)
    log_decay = o["dt"][:, None] * o["A"]
    weights = o["C"] * torch.expm1(log_decay) / o["A"]
    return 2 * torch.einsum("chn,hnl->chl", weights, torch.exp(log_decay[..., None] * steps)).real


def literal_product(o: Operands) -> Tensor:
    """All quotients as one tensor, then the sum over poles and their conjugates."""
    v, w = (torch.cat((o[name], o[name].conj()), -1) for name in "vw")
    return (v[..., None] / (o["z"] - w[..., None])).sum(-2)


def exactly(function: Callable[[Operands], Tensor]) -> Callable[[Operands], Tensor]:
    """Return the function on operands in double precision."""

    def run(o: Operands) -> Tensor:
        double = {torch.float32: torch.float64, torch.complex64: torch.complex128}
        return function({name: x.to(double[x.dtype]) if isinstance(x, Tensor) else x for name, x in o.items()})

    return run


def _fits(rows: int) -> Callable[[Shape, bool], bool]:
    return lambda shape, backward: rows * math.prod(shape) <= LARGEST


def _flops_of_products(shape: Shape) -> float:
    """A complex quotient and sum for four numerators, 2 N poles and L / 2 frequencies, 10 operations each."""
    return 40.0 * math.prod(shape)


_FULL = [(64, 32, 256), (64, 32, 1024), (64, 32, 4096), (64, 32, 16384), (4, 32, 65536)]
_TINY = [(2, 4, 41)]

BENCHES = {
    "vandermonde": Bench(
        "ssm_kernel:vandermonde",
        "H N L",
        diagonal,
        {
            "seqsuite": Contender(kernel(None)),
            "reference": Contender(kernel("reference"), tolerance=1e-3),
            # The phase of a mode grows with the length and is single here: its rounding is part of the expression.
            "literal": Contender(literal_kernel, serves=_fits(1), tolerance=1e-3),
        },
        {"tiny": _TINY, "quick": [(64, 32, 1024)], "full": _FULL},
        bytes=lambda shape: 4.0 * shape[0] * (shape[2] + 4 * shape[1] + 1),
        flops=lambda shape: 4.0 * math.prod(shape),
        memory=[(64, 32, 4096)],
        growth=[(16, 32, length) for length in (4096, 16384, 65536, 262144)],
        truth=exactly(literal_kernel),
        half=False,
    ),
    "cauchy": Bench(
        "ssm_kernel:cauchy",
        "H N L",
        quotients,
        {
            "seqsuite": Contender(product(None)),
            "reference": Contender(product("reference")),
            "literal": Contender(literal_product, serves=_fits(4)),
        },
        {"tiny": _TINY, "quick": [(64, 32, 1024)], "full": _FULL[:4]},
        bytes=lambda shape: 4.0 * (4 * shape[0] * shape[2] + 10 * shape[0] * shape[1] + shape[2]),
        flops=_flops_of_products,
        memory=[(64, 32, 1024)],
        growth=[(16, 32, length) for length in (1024, 4096, 16384, 65536)],
        truth=exactly(product("reference")),
        half=False,
    ),
    "coupled": Bench(
        "ssm_kernel:coupled",
        "H N L",
        low_rank,
        {
            "seqsuite": Contender(kernel(None)),
            "reference": Contender(
                kernel("reference"), serves=lambda shape, backward: shape[2] <= 1024, tolerance=1e-3
            ),
        },
        {"tiny": _TINY, "quick": [(64, 32, 1024)], "full": [(64, 32, 1024), (64, 32, 16384)]},
        bytes=lambda shape: 4.0 * (shape[0] * (shape[2] + 2 * shape[1] + 1) + 6 * shape[1]),
        flops=_flops_of_products,
        memory=[(64, 32, 1024)],
        growth=[(16, 32, length) for length in (1024, 4096, 16384, 65536)],
        truth=exactly(kernel("reference")),
        half=False,
    ),
}
