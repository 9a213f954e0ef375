"""Masked-language-model corruption (Devlin et al. 2019): a pure function of tokens and a generator.

masked = mask_tokens(tokens, generator, mask_id=3, random_ids=(7, 8, 9, 10), special_ids=(0, 1, 4))
loss = cross_entropy(model(masked.input_ids), masked.labels)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from seqsuite.objectives.losses import IGNORE

Array = TypeVar("Array", Tensor, np.ndarray)


class Masked(NamedTuple):
    """Corrupted tokens and what they were.

    Attributes:
        input_ids: Tokens, some of them replaced; int64.
        labels: The original tokens where the model is asked, `IGNORE` elsewhere; int64.
    """

    input_ids: Any
    labels: Any


def mask_tokens(
    tokens: Array,
    generator: torch.Generator | np.random.Generator,
    *,
    mask_id: int,
    random_ids: Sequence[int],
    special_ids: Sequence[int] = (),
    mask_rate: float = 0.15,
    replace_rate: float = 0.8,
    random_rate: float = 0.1,
) -> Masked:
    """Choose positions and corrupt them: most become [MASK], some a random token, the rest stay as they are.

    The draws depend on the shape and the generator alone, so the same generator state gives the same
    positions whatever the tokens and ids are.

    Args:
        tokens: Token ids of any shape and integer type, a tensor or a numpy array.
        generator: torch's (on the tokens' device) or numpy's.
        mask_id: Id of [MASK].
        random_ids: Ids that a random replacement is drawn from. The letters of the alphabet alone, or, as
            some published recipes do, every id of the vocabulary, special ones included.
        special_ids: Ids that are never chosen (padding, separators, unknown letters).
        mask_rate: Probability that a position is chosen.
        replace_rate: Share of the chosen that becomes [MASK].
        random_rate: Share of the chosen that becomes a random token.

    Returns:
        Corrupted tokens and labels, tensors or arrays as `tokens` is.
    """
    if not 0 <= mask_rate <= 1 or replace_rate < 0 or random_rate < 0 or replace_rate + random_rate > 1:
        raise ValueError(f"rates must be shares: {mask_rate=}, {replace_rate=}, {random_rate=}")
    original = (tokens if isinstance(tokens, Tensor) else torch.from_numpy(np.asarray(tokens))).long()
    chosen, fate, letter = (_uniform(original, generator) for _ in range(3))
    masked = chosen < mask_rate
    if special_ids:
        masked &= ~torch.isin(original, torch.tensor(list(special_ids), device=original.device))
    letters = torch.tensor(list(random_ids), device=original.device)
    random = letters[(letter * len(letters)).long().clamp(max=len(letters) - 1)]
    corrupted = torch.where(masked & (fate < replace_rate), mask_id, original)
    corrupted = torch.where(masked & (fate >= replace_rate) & (fate < replace_rate + random_rate), random, corrupted)
    labels = torch.where(masked, original, IGNORE)
    return Masked(corrupted, labels) if isinstance(tokens, Tensor) else Masked(corrupted.numpy(), labels.numpy())


def _uniform(like: Tensor, generator: torch.Generator | np.random.Generator) -> Tensor:
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.random(like.shape)).to(like.device)
    return torch.rand(like.shape, generator=generator, device=like.device, dtype=torch.float64)
