"""Which token may see which: the permutation mask of two-stream attention (XLNet, arXiv 1906.08237, section 2.2).

Masked tokens have places in an order; a masked token is seen only by those placed after it, and by no unmasked
one. What stands at the masked positions is [MASK] (the Regression Transformer, arXiv 2202.01338), so the mask
decides how guesses may build on each other, not whether the answer is seen.

    permutation_mask(masked, generator=generator)            # a random order, in training
    permutation_mask(masked, order="forward")                # reading order: the same answer every time
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqchem.collating.draws import Draws, permutations, uniforms

Order = Literal["random", "forward", "hidden", "none"]
"""Places of masked tokens: drawn, as they are read, all at once (no masked token is seen), or no mask at all."""


def permutation_mask(
    masked: Tensor,
    *,
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    order: Literal["random", "forward", "hidden"] = "random",
    halves: bool = False,
    functional: Tensor | None = None,
) -> Tensor:
    """Return the permutation mask.

    Args:
        masked: (B, T) bool, the positions that are asked for.
        generator: Draws the order.
        randperm: In place of drawing: (B, T) places (any numbers, higher is later), or (B, T // 2) permutations
            for `halves`.
        order: See `Order`.
        halves: As published: both halves of the row share one permutation and the first half comes first;
            T must be even. Otherwise every order of the row is as likely as any other.
        functional: (B, T) bool, unmasked tokens such as [CLS] and [SEP] that take a place in the order too:
            they see the masked tokens before them, and only what comes after sees them (XLNet's own rule). None
            (as published): they are like any unmasked token, seen by all and seeing no masked one.

    Returns:
        (B, T, T) float32, 1 where token i may not see token j.

    Raises:
        ValueError: Something must be drawn and there is no generator, or T is odd with `halves`.
    """
    placed = masked if functional is None else masked | functional
    if order == "hidden":
        # All masked tokens share one place, and functional ones come with them.
        keys = torch.zeros(masked.shape, device=masked.device)
    elif order == "forward":
        keys = torch.arange(masked.shape[1], device=masked.device).expand(masked.shape)
    else:
        keys = _places(masked, generator, randperm, halves)
    keys = keys.masked_fill(~placed, -1)
    hidden = (keys[:, :, None] <= keys[:, None, :]) & placed[:, None, :]  # (B, T, T)
    if functional is not None:
        own = torch.diag_embed(functional & ~masked)
        hidden &= ~own  # a functional token has its own content to show
    return hidden.float()


def _places(masked: Tensor, generator: Draws | None, randperm: Tensor | None, halves: bool) -> Tensor:
    """Return each position's place in a random order, (B, T), not below 0."""
    rows, length = masked.shape
    half = length // 2
    if randperm is not None and randperm.shape == masked.shape and not halves:
        return randperm.to(masked.device)
    if randperm is None and not halves:
        return uniforms((rows, length), generator, masked.device)
    if length % 2:
        raise ValueError(f"rows of {length} tokens have no halves: pad to an even length")
    first = permutations(rows, half, generator) if randperm is None else randperm
    if first.shape != (rows, half):
        raise ValueError(f"randperm must be {(rows, length)} places or {(rows, half)} permutations of a half")
    first = first.to(masked.device)
    return torch.cat((first, first + half), 1)
