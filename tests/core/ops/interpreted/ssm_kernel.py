"""Run the Triton kernels of the Vandermonde and Cauchy products and print their distance from the reference."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances

from seqsuite.ops._ssm_kernel.op import ssm_kernel
from seqsuite.ops._ssm_kernel.products import cauchy, power_sums, vandermonde

# name: (M, H, N, L or F)
SUMS = {
    "vandermonde, everything": (2, 2, 5, 23),
    "vandermonde, one": (1, 1, 1, 1),
    "vandermonde, tiles": (1, 1, 17, 300),
}
POLES = {"cauchy, everything": (3, 2, 5, 21), "cauchy, one": (1, 1, 1, 1), "cauchy, blocks": (1, 1, 9, 140)}


def complex_of(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x)


def draw(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(*shape, generator=random, dtype=torch.float64) for name, shape in shapes.items()}


def sums(name: str) -> dict[str, float]:
    """The product is called the output, its transpose the state."""
    rows, heads, states, length = SUMS[name]
    tensors = draw(c=(rows, heads, states, 2), log_a=(heads, states, 2), u=(rows, heads, length))
    tensors["log_a"] *= torch.tensor([-0.05, 3.0])
    tensors["log_a"][..., 0] = -tensors["log_a"][..., 0].abs()

    def call(c: torch.Tensor, log_a: torch.Tensor, u: torch.Tensor, backend: str) -> Any:
        k = vandermonde(complex_of(c), complex_of(log_a), length, backend=backend)
        return k, torch.view_as_real(power_sums(u, complex_of(log_a), backend=backend))

    return distances(call, tensors, torch.float32)


def poles(name: str, dtype: torch.dtype) -> dict[str, float]:
    """The product is called the output; the state is its square, so that both gradients differ."""
    rows, heads, states, count = POLES[name]
    tensors = draw(v=(rows, heads, states, 2), w=(heads, states, 2))
    tensors["w"][..., 0] = -0.05 - tensors["w"][..., 0].abs()
    z = torch.complex(torch.linspace(0, 0.1, count).double(), torch.linspace(-1, 2, count).double())

    def call(v: torch.Tensor, w: torch.Tensor, backend: str) -> Any:
        r = torch.view_as_real(cauchy(complex_of(v), z, complex_of(w), backend=backend))
        return r, r.square()

    return distances(call, tensors, dtype)


def kernel() -> dict[str, float]:
    """A kernel with coupled modes (the output) and its answer to states (the state), in double precision inside."""
    tensors = draw(dt=(2,), A=(1, 3, 2), B=(1, 3, 2), C=(1, 2, 3, 2), P=(1, 1, 3, 2), states=(1, 2, 3, 2))
    tensors["dt"] = tensors["dt"].abs() * 0.1
    tensors["A"][..., 0] = -0.1 - tensors["A"][..., 0].abs()

    def call(backend: str, dt: torch.Tensor, **operands: torch.Tensor) -> Any:
        return ssm_kernel(dt, length=12, backend=backend, **{n: complex_of(x) for n, x in operands.items()})

    return distances(call, tensors, torch.float32)


def main() -> None:
    found = {name: sums(name) for name in SUMS}
    found |= {name: poles(name, torch.float32) for name in POLES}
    found["cauchy, double"] = poles("cauchy, everything", torch.float64)
    found["kernel"] = kernel()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
