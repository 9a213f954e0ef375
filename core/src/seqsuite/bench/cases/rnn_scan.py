"""Recurrent cells beside PyTorch's layers and JAX; the input's projection is included in all.

sLSTM has no layer in PyTorch, nor have several heads: there the loops stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsuite.bench.jax_peer import jax_contender, load
from seqsuite.bench.measure import Bench, Contender, Operands, Shape
from seqsuite.ops import rnn_scan

GATES = {"lstm": 4, "gru": 3, "slstm": 4}


def maker(cell: str) -> Callable[[Shape], Operands]:
    """Return what makes an input (B, L, D), its projection, recurrent matrices (H, G, P, P) and bias (G, D)."""

    def make(shape: Shape) -> Operands:
        batch, length, width, heads = shape
        gates, size = GATES[cell], width // heads
        random = torch.Generator().manual_seed(0)

        def uniform(*each: int) -> Tensor:
            return (torch.rand(*each, generator=random) * 2 - 1) * width**-0.5

        operands = {
            "x": torch.randn(batch, length, width, generator=random),
            "projection": uniform(gates * width, width),
            "offset": uniform(gates * width),
            "weight": uniform(heads, gates, size, size),
            "bias": uniform(gates, width),
        }
        return {name: x.requires_grad_() for name, x in operands.items()}

    return make


def ours(cell: str, backend: str | None) -> Callable[[Operands], Tensor]:
    """The operator on one of its paths, behind the projection."""

    def run(o: Operands) -> Tensor:
        x = F.linear(o["x"], o["projection"], o["offset"]).unflatten(2, (GATES[cell], -1))
        options: dict[str, Any] = {"cell": cell, "bias": o["bias"], "backend": backend}
        return rnn_scan(x, o["weight"], **options)  # type: ignore[return-value]

    return run


def as_layer(cell: str) -> Callable[[Operands], Operands]:
    """Return what puts the operands into PyTorch's layer; its parameters are operands again, for the gradients."""

    def prepare(o: Operands) -> Operands:
        width = o["x"].shape[2]
        layer = getattr(nn, cell.upper())(width, width, batch_first=True).to(o["x"])
        values = {"weight_ih_l0": "projection", "bias_ih_l0": "offset", "weight_hh_l0": "weight", "bias_hh_l0": "bias"}
        for name, value in values.items():
            parameter = getattr(layer, name)
            parameter.data.copy_(o[value].detach().reshape(parameter.shape))
        return {"x": o["x"], "layer": layer, **dict(layer.named_parameters())}

    return prepare


def run_layer(o: Operands) -> Tensor:
    """PyTorch's layer."""
    return o["layer"](o["x"])[0]


def jax_scan(cell: str) -> Callable[[Operands], Any]:
    """Return the cell as `lax.scan`, the projection outside."""

    def run(o: Operands) -> Any:
        jax = load()
        gates, (batch, length, width), heads = GATES[cell], o["x"].shape, o["weight"].shape[0]
        x = (o["x"] @ o["projection"].T + o["offset"]).reshape(batch, length, gates, width).swapaxes(0, 1)
        weight, bias = o["weight"], o["bias"]

        def step(state: Any, x: Any) -> Any:
            h = state[0].reshape(batch, heads, -1)
            a = jax.numpy.einsum("bhp,hgqp->bghq", h, weight).reshape(batch, gates, width) + bias
            state = JAX_CELLS[cell](x, a, state)
            return state, state[0]

        zero = jax.numpy.zeros((batch, width), x.dtype)
        return jax.lax.scan(step, (zero,) * (4 if cell == "slstm" else 2), x)[1].swapaxes(0, 1)

    return run


def _lstm(x: Any, a: Any, state: Any) -> Any:
    jax = load()
    i, f, g, o = (x + a).swapaxes(0, 1)
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(x: Any, a: Any, state: Any) -> Any:
    jax = load()
    r, z = (jax.nn.sigmoid(x[:, gate] + a[:, gate]) for gate in (0, 1))
    n = jax.numpy.tanh(x[:, 2] + r * a[:, 2])
    return (1 - z) * n + z * state[0], state[1]


def _slstm(x: Any, a: Any, state: Any) -> Any:
    """The first step, at which nothing was seen, is the one with n = 0."""
    jax = load()
    i, f, z, o = (x + a).swapaxes(0, 1)
    _, c, n, m = state
    kept = jax.nn.log_sigmoid(f) + m
    new = jax.numpy.where(n == 0, i, jax.numpy.maximum(kept, i))
    forget, write = jax.numpy.where(n == 0, 0.0, jax.numpy.exp(kept - new)), jax.numpy.exp(i - new)
    c, n = forget * c + write * jax.numpy.tanh(z), forget * n + write
    return jax.nn.sigmoid(o) * c / n, c, n, new


JAX_CELLS: dict[str, Callable[[Any, Any, Any], Any]] = {"lstm": _lstm, "gru": _gru, "slstm": _slstm}


def _one_head(shape: Shape, backward: bool) -> bool:
    return shape[3] == 1


def _bench(cell: str, full: list[Shape]) -> Bench:
    gates = GATES[cell]
    contenders = {"seqsuite": Contender(ours(cell, None)), "reference": Contender(ours(cell, "reference"))}
    if cell != "slstm":
        contenders["torch.nn"] = Contender(run_layer, prepare=as_layer(cell), serves=_one_head)
    contenders["jax lax.scan"] = jax_contender(jax_scan(cell))
    return Bench(
        f"rnn_scan:{cell}",
        "B L D H",
        maker(cell),
        contenders,
        {"tiny": [(2, 9, 8, 1)], "quick": [(8, 128, 128, 1)], "full": full},
        bytes=lambda s: 4.0 * (2 * s[0] * s[1] * s[2] + gates * s[2] ** 2 * (1 + 1 / s[3])),
        flops=lambda s: 2.0 * s[0] * s[1] * gates * s[2] ** 2 * (1 + 1 / s[3]),
        memory=[(8, 128, 128, 1)],
        growth=[(4, length, 64, 1) for length in (256, 1024, 4096)],
    )


_FULL: list[Shape] = [(8, 128, 128, 1), (1, 512, 256, 1), (16, 128, 256, 1), (32, 128, 64, 1), (8, 128, 256, 4)]
BENCHES = {
    "lstm": _bench("lstm", _FULL),
    "gru": _bench("gru", _FULL[:4]),
    "slstm": _bench("slstm", [_FULL[0], _FULL[4]]),
}
