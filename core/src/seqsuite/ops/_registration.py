"""The one way an operator enters `torch.library`: schema, implementation and shape function together.

The implementation serves every device under one dispatch key and picks its path by name, so that
torch.compile, export and FSDP see a single opaque operator. The autograd.Function stays outside:
it calls the registered forward and backward. Autocast is switched off inside, because the matrix
products of a portable path would otherwise silently drop to bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from importlib import import_module
from typing import Any

import torch

_LIBRARY = torch.library.Library("seqsuite", "FRAGMENT")


def register(schema: str, implementation: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Define, implement and describe one operator of the namespace `seqsuite`.

    Args:
        schema: ``name(arguments) -> (results)`` in torch's schema language. The first argument is a
            tensor on the device of the call. Results never alias arguments; an absent result is an
            empty tensor.
        implementation: Computes the results.
        fake: Gives empty tensors of the results' shapes and dtypes, for tracing.

    Returns:
        The callable operator.
    """
    name = schema.split("(", 1)[0]

    @wraps(implementation)
    def without_autocast(first: torch.Tensor, *rest: Any) -> Any:
        with torch.autocast(first.device.type, enabled=False):
            return implementation(first, *rest)

    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, without_autocast, "CompositeExplicitAutograd")
    torch.library.register_fake(f"seqsuite::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.seqsuite, name).default


def by_path(package: str, name: str) -> Callable[..., Any]:
    """Return a function that runs `name` of the path that its last argument names; Triton is imported when used.

    Args:
        package: The operator's package, with the modules "portable" and "triton".
        name: The function in both.
    """

    def run(*args: Any) -> Any:
        *operands, backend = args
        module = import_module(f"{package}.{'triton' if backend == 'triton' else 'portable'}")
        return getattr(module, name)(*operands)

    run.__name__ = run.__qualname__ = name
    return run


def once(name: str, operands: Iterable[torch.Tensor | None], grads: Iterable[Any]) -> tuple[Any, ...]:
    """Return gradients that raise if they are differentiated in turn, instead of counting as constants.

    Args:
        name: The operator, for the message.
        operands: The tensors of the forward pass.
        grads: Their gradients, None where not needed.
    """
    anchor = next((x for x in operands if x is not None and x.requires_grad), None)
    if anchor is None or not torch.is_grad_enabled():
        return tuple(grads)
    return tuple(None if g is None else _Once.apply(g, anchor, name) for g in grads)


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: torch.Tensor, anchor: torch.Tensor, name: str) -> torch.Tensor:
        ctx.name = name
        return grad.clone()

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> Any:
        raise RuntimeError(f"{ctx.name} can be differentiated once only; backend='reference' allows more")
