"""The selective scan beside the public ways to run it without a GPU.

Softplus, bias, skip and gate in all. The backward pass of loops that slice the time axis is quadratic in L:
they take part up to L = 1024 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import selective_scan


def make(shape: Shape) -> Operands:
    """Operands of a (B, L, D, N) scan."""
    batch, length, width, state = shape
    random = torch.Generator().manual_seed(0)
    sizes: dict[str, tuple[int, ...]] = dict.fromkeys(("u", "delta", "z"), (batch, length, width))
    sizes |= {"B": (batch, length, state), "C": (batch, length, state), "D": (width,), "delta_bias": (width,)}
    operands = {name: torch.randn(*size, generator=random) for name, size in sizes.items()}
    operands["delta_bias"] = operands["delta_bias"] - 4
    operands["A"] = -torch.arange(1.0, state + 1).repeat(width, 1)
    return {name: x.requires_grad_() for name, x in operands.items()}


def ours(backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths."""

    def run(o: Operands) -> Tensor:
        options: dict[str, Any] = {**o, "delta_softplus": True, "backend": backend}
        return selective_scan(**options)  # type: ignore[return-value]

    return run


def channel_first(operands: Operands) -> Operands:
    """The operands with time last, as public Mamba code has them."""
    return {
        name: x.detach().transpose(1, 2).contiguous().requires_grad_() if x.ndim == 3 else x
        for name, x in operands.items()
    }


def literal_loop(o: Operands) -> Tensor:
    """The formula as public code writes it: discretise everything, then slice the time axis in a loop."""
    dt = F.softplus(o["delta"] + o["delta_bias"][:, None])
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, o["A"]))
    inputs = torch.einsum("bdl,bnl,bdl->bdln", dt, o["B"], o["u"])
    h = torch.zeros_like(decay[:, :, 0])
    outputs = []
    for t in range(decay.shape[2]):
        h = decay[:, :, t] * h + inputs[:, :, t]
        outputs.append(torch.einsum("bdn,bn->bd", h, o["C"][:, :, t]))
    return (torch.stack(outputs, 2) + o["u"] * o["D"][:, None]) * F.silu(o["z"])


def mambapy_scan(o: Operands) -> Tensor:
    """Mambapy's parallel scan, used as its Mamba block uses it."""
    from mambapy.pscan import pscan

    dt = F.softplus(o["delta"] + o["delta_bias"])
    decay = torch.exp(dt.unsqueeze(-1) * o["A"])
    inputs = dt.unsqueeze(-1) * o["B"].unsqueeze(2) * o["u"].unsqueeze(-1)
    y = (pscan(decay, inputs) @ o["C"].unsqueeze(-1)).squeeze(3)
    return (y + o["D"] * o["u"]) * F.silu(o["z"])


def transformers_scan(o: Operands) -> Tensor:
    """The slow path of transformers' Mamba: its public function, without its optional accelerators."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    return mamba_selective_scan(*(o[name] for name in names), delta_softplus=True)


def _jax_frame(o: Operands) -> Any:
    """Return step sizes (B, L, D), and what is left to do with the scan's output."""
    jax = load()
    dt = jax.nn.softplus(o["delta"] + o["delta_bias"])
    return dt, lambda y: (y + o["u"] * o["D"]) * jax.nn.silu(o["z"])


def jax_scan(o: Operands) -> Any:
    """`lax.scan` over the steps, which discretises within."""
    jax = load()
    dt, finish = _jax_frame(o)

    def step(h: Any, now: Any) -> Any:
        dt, u, B, C = now
        h = jax.numpy.exp(dt[..., None] * o["A"]) * h + (dt * u)[..., None] * B[:, None]
        return h, (h * C[:, None]).sum(-1)

    steps = tuple(x.swapaxes(0, 1) for x in (dt, o["u"], o["B"], o["C"]))
    start = jax.numpy.zeros((len(o["u"]), *o["A"].shape), o["u"].dtype)
    return finish(jax.lax.scan(step, start, steps)[1].swapaxes(0, 1))


def jax_associative(o: Operands) -> Any:
    """`lax.associative_scan` over discretised (B, L, D, N) tensors."""
    jax = load()
    dt, finish = _jax_frame(o)

    def combine(left: Any, right: Any) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    decay = jax.numpy.exp(dt[..., None] * o["A"])
    h = jax.lax.associative_scan(combine, (decay, (dt * o["u"])[..., None] * o["B"][:, :, None]), axis=1)[1]
    return finish((h * o["C"][:, :, None]).sum(-1))


def _short(shape: Shape, backward: bool) -> bool:
    return not backward or shape[1] <= 1024


def _last_first(y: Tensor) -> Tensor:
    return y.transpose(1, 2)


def _bytes(shape: Shape) -> float:
    batch, length, width, state = shape
    return 4.0 * batch * length * (4 * width + 2 * state)


def _flops(shape: Shape) -> float:
    batch, length, width, state = shape
    return float(batch * length * width * (6 * state + 10))


BENCH = Bench(
    "selective_scan",
    "B L D N",
    make,
    {
        "seqsuite": Contender(ours(None)),
        "reference": Contender(ours("reference"), serves=lambda shape, backward: shape[1] <= 4096),
        "mambapy": Contender(mambapy_scan, needs="mambapy"),
        "jax lax.scan": jax_contender(jax_scan),
        "jax associative_scan": jax_contender(jax_associative),
        "literal loop": Contender(literal_loop, prepare=channel_first, finish=_last_first, serves=_short),
        "transformers": Contender(
            transformers_scan, needs="transformers", prepare=channel_first, finish=_last_first, serves=_short
        ),
    },
    {
        "tiny": [(1, 16, 8, 4)],
        "quick": [(1, 1024, 256, 16), (1, 4096, 32, 8)],
        "full": [
            (1, 1024, 256, 16),
            (1, 4096, 256, 16),
            (1, 16384, 256, 16),
            (2, 2048, 512, 16),
            (1, 2048, 64, 16),
            (1, 4096, 32, 8),
            (1, 4096, 16, 4),
        ],
    },
    _bytes,
    _flops,
    memory=[(1, 1024, 256, 16), (2, 2048, 512, 16)],
    growth=[(1, 1024, 128, 16), (1, 4096, 128, 16), (1, 16384, 128, 16), (1, 65536, 128, 16)],
)
BENCHES = {"": BENCH}
