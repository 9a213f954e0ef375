"""The two products and the kernel as their formulas: sums and loops over frequencies, steps and modes.

Complex tensors in, autograd by PyTorch; see `products.py` and `op.py` for what the names mean.
"""

from __future__ import annotations

import torch
from torch import Tensor


def vandermonde_reference(c: Tensor, log_a: Tensor, length: int) -> Tensor:
    """Return 2 Re sum_n c_n exp(log_a_n l) (M, H, L) for c (M, H, N), log_a (H, N)."""
    steps = [2 * (c * torch.exp(log_a * step)).sum(-1).real for step in range(length)]
    return torch.stack(steps, -1).to(c.real.dtype)


def power_sums_reference(u: Tensor, log_a: Tensor) -> Tensor:
    """Return sum_l u_l exp(log_a_n l) (M, H, N) for u (M, H, L), log_a (H, N)."""
    total = sum(x[..., None] * torch.exp(log_a * step) for step, x in enumerate(u.unbind(-1)))
    assert isinstance(total, Tensor)
    return total.to(torch.complex128 if u.dtype == torch.float64 else torch.complex64)


def cauchy_reference(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Return sum_n v_n / (z - w_n) + conj(v_n) / (z - conj(w_n)) (M, H, F) for v (M, H, N), z (F,), w (H, N)."""
    total = torch.zeros(*v.shape[:-1], len(z), dtype=torch.promote_types(v.dtype, z.dtype), device=v.device)
    for v_n, w_n in zip(v[..., None].unbind(-2), w[..., None].unbind(-2), strict=True):
        total = total + v_n / (z - w_n) + v_n.conj() / (z - w_n.conj())
    return total.to(v.dtype)


def kernel_reference(decay: Tensor, left: Tensor, right: Tensor, first: Tensor, C: Tensor, length: int) -> Tensor:
    """Return 2 Re sum_n C_n x_{l,n} (R, C, H, L) where x_0 is `first` and x_{l+1} the step of x_l without input.

    The step is x -> decay x - sum_i left_i 2 Re sum_n right_{i,n} x_n for decay (H, N), left and right (r, H, N),
    first (R, H, N) and C (C, H, N).
    """
    x, outputs = first, []
    for _ in range(length):
        outputs.append(2 * (C * x[:, None]).sum(-1).real)
        moved = decay * x
        for back, out in zip(left, right, strict=True):
            moved = moved - back * (2 * (out * x).sum(-1, keepdim=True).real)
        x = moved
    return torch.stack(outputs, -1)
