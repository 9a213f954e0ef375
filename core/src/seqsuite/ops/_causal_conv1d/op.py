"""The public `causal_conv1d`: checks, choice of path, registration and gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._causal_conv1d import portable
from seqsuite.ops._causal_conv1d.reference import causal_conv1d_reference
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._seq import Seq


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    initial_state: Tensor | None = None,
    return_final_state: bool = False,
    reverse: bool = False,
    seq: Seq | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Thin."""
    taps = weight.shape[1]
    choice = choose(_OPERATOR, x.device.type, x.dtype, _sizes(x, weight), backend).backend
    segment = None if seq is None else seq.segment
    valid = None if seq is None else seq.valid
    if valid is not None:
        x = x.masked_fill(~valid[..., None], 0)
    history = None if initial_state is None else initial_state.transpose(1, 2)[:, 1:].to(x.dtype)
    if choice == "reference":
        y = causal_conv1d_reference(x, weight, bias, history=history, segment=segment, silu=activation == "silu", reverse=reverse)
    else:
        y = portable.forward(x, weight, bias, history, segment, reverse)
        y = F.silu(y) if activation == "silu" else y
    if valid is not None:
        y = y.masked_fill(~valid[..., None], 0)
    if not return_final_state:
        return y
    first = x.new_zeros(x.shape[0], taps, x.shape[2]) if initial_state is None else initial_state.transpose(1, 2)
    seen = torch.cat((first, x.flip(1) if reverse else x), 1)
    return y, seen[:, -taps:].transpose(1, 2)


def _sizes(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": x.shape[1], "width": x.shape[2], "taps": weight.shape[1]}


def _limit(sizes: dict[str, int]) -> str | None:
    return None if sizes.get("taps", 1) <= 8 else f"{sizes['taps']} taps exceed the kernels' 8"


_OPERATOR = Operator("causal_conv1d", causal_conv1d, "short causal depthwise convolution", limit=_limit, sizes=_sizes)
add_operator(_OPERATOR)
