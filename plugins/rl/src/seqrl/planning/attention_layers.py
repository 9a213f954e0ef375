"""A block of the Trajectory Transformer taken apart, for an engine that keeps keys and values itself."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Shared = list[tuple[int, list[tuple[Tensor, Tensor]]]]


class Layer:
    """One block as plain tensors, with the queries already scaled: calls of modules cost more than small products.

    Args:
        block: An `MLPBlock` around a `ValueBlindAttention`.
    """

    def __init__(self, block: Any) -> None:
        mixer = block.mixer
        self.norm1, self.norm2 = ((norm.normalized_shape, norm.weight, norm.bias, norm.eps) for norm in _norms(block))
        self.out, self.fc1, self.fc2 = (
            (linear.weight, linear.bias) for linear in (mixer.out_proj, block.mlp.fc1, block.mlp.fc2)
        )
        width = mixer.d_model
        scale = torch.ones(3 * width, 1, dtype=mixer.in_proj.weight.dtype, device=mixer.in_proj.weight.device)
        scale[:width] = (width // mixer.num_heads) ** -0.5
        self.weight, self.bias = mixer.in_proj.weight.detach() * scale, mixer.in_proj.bias.detach() * scale[:, 0]

    def project(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """Return scaled queries, keys and values (..., D) of the stream (..., D)."""
        return F.linear(torch.layer_norm(hidden, *self.norm1), self.weight, self.bias).chunk(3, -1)

    def finish(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """Add what attention found, and run the MLP: (..., D)."""
        hidden = F.linear(mixed, *self.out).add_(hidden)
        inner = F.gelu(F.linear(torch.layer_norm(hidden, *self.norm2), *self.fc1))
        return F.linear(inner, *self.fc2).add_(hidden)


def _norms(block: Any) -> tuple[Any, Any]:
    return block.norm1, block.norm2


def read_chunk(
    layers: list[Layer],
    hidden: Tensor,
    heads: int,
    past: list[tuple[Tensor, Tensor]] | None = None,
    shared: Shared | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Return the keys and values of a chunk in every layer; its features behind the last one are not computed.

    Args:
        layers: The blocks.
        hidden: (U, S, D) embedded tokens, none of them a value.
        heads: H.
        past: By layer keys and values (U, H, P, K) in front of the chunk; None: nothing.
        shared: What stands in front of these for many rows: how many of the rows, one after the other, share it, and
            its keys and values (H, C, K) by layer.

    Returns:
        By layer keys and values (U, H, S, K).
    """
    length = hidden.shape[1]
    later = hidden.new_full((length, length), -torch.inf).triu(1)
    found = []
    for number, layer in enumerate(layers):
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous() for part in layer.project(hidden))
        found.append((k, v))
        if number == len(layers) - 1:
            break
        keys = [k] if past is None else [past[number][0], k]
        values = [v] if past is None else [past[number][1], v]
        scores = [q @ part.mT for part in keys]
        scores[-1] = scores[-1] + later
        if shared is not None:
            scores.insert(0, _per_environment(q, [(count, by_layer[number][0].mT) for count, by_layer in shared]))
        weights = torch.cat(scores, -1).softmax(-1).split([part.shape[-1] for part in scores], -1)
        mixed = sum(w @ part for w, part in zip(weights[-len(values) :], values, strict=True))
        if shared is not None:
            mixed = mixed + _per_environment(weights[0], [(count, by_layer[number][1]) for count, by_layer in shared])
        hidden = layer.finish(hidden, mixed.transpose(1, 2).flatten(2))  # type: ignore[union-attr]
    return found


def _per_environment(x: Tensor, parts: list[tuple[int, Tensor]]) -> Tensor:
    """Return x (U, H, S, A) times the matrix (H, A, B) of each row's environment: (U, H, S, B)."""
    products = []
    for rows, (_, matrix) in zip(x.split([count for count, _ in parts]), parts, strict=True):
        product = rows.transpose(0, 1).flatten(1, 2) @ matrix  # (H, U S, B)
        products.append(product.unflatten(1, (len(rows), -1)).transpose(0, 1))
    return torch.cat(products)
