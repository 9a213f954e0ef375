"""`seqsuite.ops.selective_scan` against the reference's channel-first operator."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops import selective_scan
from seqsuite.testing.parity import Case, adapter


@adapter("selective_scan")
def scan(case: Case) -> dict[str, Tensor]:
    leaves = {name: case.take(name).requires_grad_() for name in case.inputs if name != "grad_out"}
    # (B, D, L) -> (B, L, D); (B, N, L) -> (B, L, N); (B, G, N, L) -> (B, L, G, N); (D, N) stays.
    ours = {name: leaf.movedim(-1, 1) if leaf.ndim >= 3 else leaf for name, leaf in leaves.items()}
    out, last_state = selective_scan(
        *(ours[name] for name in ("u", "delta", "A", "B", "C")),
        D=ours.get("D"),
        z=ours.get("z"),
        delta_bias=ours.get("delta_bias"),
        delta_softplus=case.hyperparameters["delta_softplus"],
        return_final_state=True,
    )
    out = out.transpose(1, 2)
    loss = (out * case.take("grad_out")).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    results = {"out": out, "last_state": last_state, "loss": loss}
    return results | {f"grad.{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
