"""Published S4 layers of every generation, brought to the names of today's block (state-spaces/s4, version 4).

    block = s4_block(tensors)                       # layer.D, layer.kernel.{inv_dt, A_real, ...}, output_linear.0.*
    ours = seqsuite.mixers.s4.s4_from_published(block)
    tensors = to_v3(block)                          # the way back, to version 3

| generation | names of the kernel |
| --- | --- |
| v4 | ``layer.kernel.`` inv_dt, A_real, A_imag, B, C, P, l_kernel |
| v3 | ``kernel.kernel.`` log_dt, inv_w_real, w_imag, B, C, P, L |
| v2, stable | ``kernel.kernel.`` log_dt, log_w_real, w_imag, B, C, P, with tables omega and z for the length |
| v2, free | the same with w and Q: readable only where w is stable and Q is conj(P) |
| January 2022 | ``kernel.krylov.``: another layer, refused |

The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from seqsuite.errors import UserError

_OLD = "kernel.kernel."
_V3 = {"log_dt": "inv_dt", "inv_w_real": "A_real", "w_imag": "A_imag", "L": "l_kernel"}
"""Names within the kernel in version 3 and in version 4, where they differ."""
_NAMES = _V3 | {"log_w_real": "A_real"}
_TABLES = ("omega", "z")
_LINEAR = "output_linear.0.weight"


def s4_block(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return an S4 layer's tensors under the names and in the shapes of version 4.

    Args:
        tensors: Those of one layer, by their names within it.

    Raises:
        UserError: The layer's low-rank term is untied or its state matrix unstable: another layer than ours.
    """
    krylov = next((name for name in tensors if "kernel.krylov." in name), None)
    if krylov is not None:
        raise UserError(
            f"{krylov}: this S4 is that of January 2022 (untied low-rank term, directions concatenated), which is "
            "another layer than ours; v2 with a tied term and later can be read"
        )
    if not is_old(tensors):
        return {name: _plain(name, tensor) for name, tensor in tensors.items()}
    kernel = {name.removeprefix(_OLD): tensor for name, tensor in tensors.items() if name.startswith(_OLD)}
    kernel = _settled_length(_stable(kernel))
    block = {_NAMES.get(name, name): tensor for name, tensor in kernel.items()}
    if "A_imag" in block:
        block["A_imag"] = -block["A_imag"]  # theirs is Im A
    if "inv_dt" in block and block["inv_dt"].ndim == 1:
        block["inv_dt"] = block["inv_dt"][:, None]
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(_OLD)}
    outer = {("layer.D" if name == "D" else name): _plain(name, tensor) for name, tensor in rest.items()}
    return outer | {f"layer.kernel.{name}": tensor for name, tensor in block.items()}


def to_v3(block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a version 4 block under the names and in the shapes of version 3: what `s4_block` takes back."""
    theirs = {f"layer.kernel.{new}": old for old, new in _V3.items()}
    layer = {}
    for name, tensor in block.items():
        if not name.startswith("layer.kernel."):
            layer[name.removeprefix("layer.")] = tensor[..., None] if name == _LINEAR else tensor
            continue
        old = theirs.get(name, name.removeprefix("layer.kernel."))
        tensor = tensor.squeeze(1) if old == "log_dt" else -tensor if old == "w_imag" else tensor
        layer[f"{_OLD}{old}"] = tensor
    return layer


def is_old(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the layer is older than version 4: its step sizes are exp of their parameters."""
    return any(name.startswith(_OLD) for name in tensors)


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Return the weight of a convolution of width 1 as that of a linear layer."""
    return tensor.flatten(1) if name == _LINEAR else tensor


def _stable(kernel: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a kernel with w in two parts, as the later ones have it.

    Raises:
        UserError: w is not stable, or Q another vector than P.
    """
    if "w" not in kernel:
        return kernel
    kernel = dict(kernel)
    w, Q = kernel.pop("w"), kernel.pop("Q", None)
    if bool((w[..., 0] >= 0).any()):
        raise UserError("the S4 layer's state matrix is not stable (kernel.kernel.w has real parts above 0)")
    conjugate = torch.tensor([1.0, -1.0], dtype=w.dtype, device=w.device)
    if Q is not None and not torch.equal(Q.detach(), (kernel["P"] * conjugate).detach()):
        raise UserError("the S4 layer's low-rank term is untied (kernel.kernel.Q), which is another layer than ours")
    return kernel | {"log_w_real": torch.log(-w[..., 0]), "w_imag": w[..., 1]}


def _settled_length(kernel: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a kernel with the length that its C is attuned to, which the oldest keep as tables of frequencies."""
    nodes = kernel.get("omega")
    kernel = {name: tensor for name, tensor in kernel.items() if name not in _TABLES}
    if "L" not in kernel and nodes is not None:
        first = nodes[1].detach().double()  # exp(-2 pi i / L)
        kernel["L"] = (-2 * math.pi / torch.atan2(first[1], first[0])).round().long()
    return kernel
