"""The elementwise linear recurrence beside the public ways to run it: real, complex, and complex constant in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import linear_scan


def real(shape: Shape) -> Operands:
    """Factors in (0, 1) and inputs, each (B, L, D)."""
    random = torch.Generator().manual_seed(0)
    a, b = torch.rand(shape, generator=random), torch.randn(shape, generator=random)
    return {"a": a.requires_grad_(), "b": b.requires_grad_()}


def complex_(shape: Shape, *, constant: bool = False) -> Operands:
    """Complex factors of size below 1 that turn, one a step or (D,) for all, and complex inputs."""
    random = torch.Generator().manual_seed(0)
    a = torch.rand(shape[-1:] if constant else shape, generator=random)
    b = torch.randn(shape, dtype=torch.complex64, generator=random)
    return {"a": torch.polar(a, 6 * a).requires_grad_(), "b": b.requires_grad_()}


def constant(shape: Shape) -> Operands:
    """The operands of S5 and LRU: factors that are constant in time."""
    return complex_(shape, constant=True)


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""
    return lambda o: linear_scan(o["a"], o["b"], backend=backend)  # type: ignore[return-value]


def plain_loop(o: Operands) -> Tensor:
    """One in-place multiply-add a step: the fastest plain loop; it has no gradient."""
    h = o["b"].clone()
    steps, a = h.unbind(1), o["a"]
    factors: Sequence[Tensor] = [a] * len(steps) if a.ndim == 1 else a.unbind(1)
    for before, step, factor in zip(steps[:-1], steps[1:], factors[1:], strict=True):
        step.addcmul_(factor, before)
    return h


def mambapy_scan(o: Operands) -> Tensor:
    """Mambapy's parallel scan, whose operands are (B, L, D, N)."""
    from mambapy.pscan import pscan

    return pscan(o["a"].unsqueeze(-1), o["b"].unsqueeze(-1)).squeeze(-1)


def s5_scan(o: Operands) -> Tensor:
    """The associative scan of s5-pytorch, a row at a time, as its layer calls it."""
    from s5.jax_compat import associative_scan
    from s5.s5_model import binary_operator

    a = o["a"].expand(o["b"].shape)
    return torch.stack([associative_scan(binary_operator, pair)[1] for pair in zip(a, o["b"], strict=True)])


def fla_loop(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop for HGRN, which takes the logarithms of the factors."""
    from fla.ops.hgrn.naive import naive_recurrent_hgrn

    return naive_recurrent_hgrn(o["b"], o["log_a"])[0]


def logarithms(operands: Operands) -> Operands:
    """The operands with log a for a."""
    return {"log_a": operands["a"].detach().log().requires_grad_(), "b": operands["b"]}


def jax_associative(o: Operands) -> Any:
    """`lax.associative_scan` over pairs."""

    def combine(left: Any, right: Any) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    jax = load()
    return jax.lax.associative_scan(combine, (jax.numpy.broadcast_to(o["a"], o["b"].shape), o["b"]), axis=1)[1]


def jax_scan(o: Operands) -> Any:
    """`lax.scan` over the steps."""

    def step(h: Any, operands: Any) -> Any:
        h = operands[0] * h + operands[1]
        return h, h

    jax = load()
    a, b = jax.numpy.broadcast_to(o["a"], o["b"].shape).swapaxes(0, 1), o["b"].swapaxes(0, 1)
    return jax.lax.scan(step, jax.numpy.zeros_like(b[0]), (a, b))[1].swapaxes(0, 1)


def _forward(shape: Shape, backward: bool) -> bool:
    return not backward


def _short(shape: Shape, backward: bool) -> bool:
    """Slices of the time axis in a loop make the backward pass quadratic."""
    return not backward or shape[1] <= 1024


_EVERY = {
    "seqsuite": Contender(ours(None)),
    "reference": Contender(ours("reference")),
    "plain loop": Contender(plain_loop, serves=_forward),
    "jax lax.scan": jax_contender(jax_scan),
    "jax associative_scan": jax_contender(jax_associative),
    "s5-pytorch": Contender(s5_scan, needs="s5"),
}
_REAL = {
    "mambapy": Contender(mambapy_scan, needs="mambapy"),
    # Logarithms and their exponentials round.
    "fla naive HGRN": Contender(fla_loop, needs="fla", prepare=logarithms, serves=_short, tolerance=1e-4),
}
_FULL = [(1, 1024, 64), (1, 4096, 16), (1, 4096, 64), (1, 4096, 256), (1, 4096, 1024), (1, 4096, 4096), (1, 65536, 64)]
_FEW = [(1, 4096, 64), (1, 4096, 1024)]


def _bench(
    name: str, make: Callable[[Shape], Operands], full: Sequence[Shape], each: Callable[[Shape], float]
) -> Bench:
    """A bench of one kind of operands; `each`: bytes of a, b and h."""
    kind = name.partition(":")[2]
    return Bench(
        name,
        "B L D",
        make,
        _EVERY | (_REAL if kind == "real" else {}),
        {"tiny": [(2, 19, 6)], "quick": [(1, 4096, 64)] + ([(1, 4096, 4096)] if kind == "real" else []), "full": full},
        bytes=each,
        flops=lambda shape: (2.0 if kind == "real" else 8.0) * shape[0] * shape[1] * shape[2],
        memory=[(1, 4096, 256)] + ([(1, 4096, 4096)] if kind == "real" else []),
        growth=[(1, length, 64) for length in (4096, 16384, 65536, 262144)],
        half=kind == "real",
    )


BENCHES = {
    "real": _bench("linear_scan:real", real, _FULL, lambda shape: 12.0 * shape[0] * shape[1] * shape[2]),
    "complex": _bench("linear_scan:complex", complex_, _FEW, lambda shape: 24.0 * shape[0] * shape[1] * shape[2]),
    "constant": _bench(
        "linear_scan:constant", constant, _FEW, lambda shape: 8.0 * shape[2] * (2 * shape[0] * shape[1] + 1)
    ),
}
