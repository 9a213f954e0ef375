"""Rows of evaluation and generation: [MASK]s that are there already, and properties set to what is wanted.

ids = prime(ids, tokenizer, tokenizer.property_id("qed"), wanted_number_ids)
batch = mask_prefilled(ids, tokenizer)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from seqchem.collating.batch import RTBatch, SpecialIds, mask_positions
from seqchem.collating.draws import Draws
from seqchem.collating.permutation import Order
from seqchem.collating.regions import number_places, number_region
from seqchem.tokenizers.properties import digit_value
from seqsuite.objectives import IGNORE


def mask_prefilled(
    input_ids: Tensor,
    tokens: SpecialIds,
    *,
    targets: Tensor | None = None,
    order: Order = "forward",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    ordered_specials: bool = False,
    sample_weights: Tensor | None = None,
    real_property: Tensor | None = None,
    published: bool = False,
) -> RTBatch:
    """Return the batch of rows whose [MASK]s stand where they are asked for.

    Args:
        input_ids: (B, T) int64 with [MASK]s.
        tokens: The special ids.
        targets: (B, T) int64, the answers, if they are known; the labels are -100 otherwise.
        order: How masked tokens see each other; see `mask_positions`. Reading order gives the same answer always.
        generator: Draws a random order.
        randperm: In its place.
        ordered_specials: [CLS] and [SEP] take places in the order.
        sample_weights: (B,), 1 by default.
        real_property: Handed on.
        published: See `mask_positions`.
    """
    masked = input_ids == tokens.mask_token_id
    batch = mask_positions(
        input_ids,
        masked,
        tokens,
        order=order,
        generator=generator,
        randperm=randperm,
        ordered_specials=ordered_specials,
        sample_weights=sample_weights,
        real_property=real_property,
        published=published,
    )
    labels = torch.full_like(input_ids, IGNORE) if targets is None else targets.masked_fill(~masked, IGNORE)
    return batch._replace(labels=labels)


def prime(input_ids: Tensor, tokens: SpecialIds, prop: int, numbers: Sequence[int] | Tensor) -> Tensor:
    """Return the rows with the number of a property replaced.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        prop: Id of the property's token.
        numbers: (S,) ids of a number's tokens, or (B, S) of each row's; as many as the rows have there.

    Raises:
        ValueError: A row has not S tokens there.
    """
    values = torch.as_tensor(numbers, dtype=torch.int64, device=input_ids.device)
    places = number_places(input_ids, tokens, prop, values.shape[-1])
    return input_ids.scatter(1, places, values.expand(places.shape))


def cross_primers(input_ids: Tensor, tokens: SpecialIds, prop: int, primers: Sequence[Sequence[int]]) -> Tensor:
    """Return every row with each of several numbers in turn, (B * R, T), the primers of the first row first.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        prop: Id of the property's token.
        primers: R numbers of S token ids each.

    Raises:
        ValueError: A row has not S tokens there.
    """
    values = torch.tensor(list(map(list, primers)), device=input_ids.device)
    return prime(input_ids.repeat_interleave(len(values), 0), tokens, prop, values.repeat(len(input_ids), 1))


def read_numbers(input_ids: Tensor, tokens: SpecialIds, properties: Sequence[int], vocabulary: Sequence[str]) -> Tensor:
    """Read the numbers that rows carry, as they are written (normalised, where the number format says so).

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        properties: Ids of the K properties.
        vocabulary: The tokens; a token's place is its id.

    Returns:
        (B, K) float64; NaN where the property is missing or its tokens are no number.
    """
    worth, sign, digit = (table.to(input_ids.device) for table in _digit_tables(tuple(vocabulary)))
    found = []
    for prop in properties:
        region = number_region(input_ids, tokens, prop)
        total = torch.where(region, worth[input_ids], 0).sum(1)  # NaN of tokens that are no digits included
        factor = torch.where(region, sign[input_ids], 1).prod(1)
        some = (region & digit[input_ids]).any(1)
        found.append(torch.where(some, factor * total, torch.nan))
    return torch.stack(found, 1)


@lru_cache(maxsize=8)
def _digit_tables(vocabulary: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what each token adds to a number (NaN: no part of one), its sign, and whether it is a digit: (V,)."""
    worth = torch.full((len(vocabulary),), torch.nan, dtype=torch.float64)
    sign = torch.ones(len(vocabulary), dtype=torch.float64)
    digit = torch.zeros(len(vocabulary), dtype=torch.bool)
    for index, token in enumerate(vocabulary):
        if found := digit_value(token):
            worth[index], digit[index] = float(f"{found[0]}e{found[1]}"), True
        elif token in ("_._", "_+_", "_-_"):
            worth[index] = 0
            sign[index] = -1 if token == "_-_" else 1
    return worth, sign, digit


def resampled_weights(real: Tensor, sampled: Tensor, low: float, high: float) -> Tensor:
    """Return weights of rows whose number was replaced by another, for `conditional_loss`.

    As published: 1 where it is the real number, falling to -1 across the range, so that a molecule is pushed away
    from numbers far from its own.

    Args:
        real: (B,) the numbers that the rows had.
        sampled: (B,) what they were replaced by.
        low: Least number that is drawn.
        high: Largest.

    Raises:
        ValueError: The range is empty.
    """
    if not high > low:
        raise ValueError(f"the range from {low} to {high} is empty")
    return 1 - 2 * (real - sampled).abs() / (high - low)
