"""JAX functions as contenders: jitted, on the CPU, with one thread.

    Contender = jax_contender(scan)      # scan: {operand: jax array} -> jax array, JAX imported inside

XLA reads its options when JAX starts. Those set here are kept to where JAX was not imported before; its threads
then do no work beside the caller's, so that the process's CPU time is the time of the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from seqsuite.bench.measure import Contender, Operands

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def load() -> Any:
    """Import JAX for the CPU."""
    if "jax" not in sys.modules:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
    import jax

    return jax


def arrays(operands: Operands) -> Operands:
    """Return the tensors among the operands as JAX arrays of their own memory."""
    jax = load()
    found = {name: x for name, x in operands.items() if isinstance(x, Tensor)}
    return {name: jax.numpy.array(_as_numpy(x), _kind(x)) for name, x in found.items()}


def tensor(y: Any) -> Tensor:
    """Return a JAX array as a tensor."""
    import numpy

    return torch.from_numpy(numpy.array(y, numpy.float32 if y.dtype.kind == "V" else None))


def jax_contender(function: Callable[[Operands], Any], **options: Any) -> Contender:
    """Return a contender that runs a function jitted, and with the backward pass its jitted gradients.

    Args:
        function: Arrays by name -> array; gradients are those of its sum in all arrays.
        **options: Further fields of `Contender`.
    """

    @cache
    def compiled() -> tuple[Any, Any]:
        jax = load()

        def total(o: Operands) -> Any:
            y = function(o)
            return y.real.sum(), y  # the output too, as all others compute it

        return jax.jit(function), jax.jit(jax.value_and_grad(total, has_aux=True))

    def run(o: Operands) -> Any:
        return compiled()[0](o).block_until_ready()

    def step(o: Operands) -> Any:
        return load().block_until_ready(compiled()[1](o))

    fixed: dict[str, Any] = {"needs": "jax", "prepare": arrays, "finish": tensor, "devices": ("cpu",)}
    return Contender(run, step=step, compiles=True, **fixed, **options)


def _as_numpy(x: Tensor) -> Any:
    plain = x.detach()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _kind(x: Tensor) -> Any:
    return load().numpy.bfloat16 if x.dtype == torch.bfloat16 else None
