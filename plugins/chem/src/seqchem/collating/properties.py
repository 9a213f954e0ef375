"""Property prediction: the numbers of properties are masked, the text is seen.

batch = mask_properties(ids, tokenizer, [tokenizer.property_id("qed")], generator=generator)
batch = mask_properties(ids, tokenizer, asked, keep_leading=leading_places(ids, tokenizer, asked, 0.5, generator),
                        generator=generator)                       # asked: (B,) another property in each row
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from seqchem.collating.batch import RTBatch, SpecialIds, mask_positions
from seqchem.collating.draws import Draws, uniforms
from seqchem.collating.permutation import Order, permutation_mask
from seqchem.collating.regions import number_region

Properties = Sequence[int] | Tensor
"""Ids of property tokens: the same for all rows, or (B,) or (B, K) of each row, -1 where there is none."""


def mask_properties(
    input_ids: Tensor,
    tokens: SpecialIds,
    properties: Properties,
    *,
    offsets: Sequence[Sequence[int] | None] | None = None,
    keep_leading: int | Tensor = 0,
    duplicates: Literal["first", "error"] = "first",
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    ordered_specials: bool = False,
    sample_weights: Tensor | None = None,
    published: bool = False,
) -> RTBatch:
    """Mask the numbers of properties: every token between a property and the next separator, sign and point included.

    Rows without the property are asked for nothing and give no loss.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        properties: Ids of the properties to ask for.
        offsets: For each property which places of its number are masked, counted from 0; None: all of them.
        keep_leading: How many leading places of the numbers stay visible, or (B,) of each row. At least one
            place is masked. Decoding from left to right meets such rows.
        duplicates: A property that stands twice in a row is an error, or its first number is masked.
        order: How masked tokens see each other; see `mask_positions`, as for the next four.
        generator: Draws the order.
        randperm: In its place; with `published` (K * B, T // 2), the rows of the first property first.
        ordered_specials: [CLS] and [SEP] take places in the order.
        sample_weights: (B,), 1 by default.
        published: An order for each property by itself, so that digits of different properties never see each
            other; halves that share a permutation; id 0 is padding.

    Raises:
        ValueError: A property stands twice in a row and `duplicates` is "error".
    """
    columns = _columns(properties, len(input_ids))
    if duplicates == "error":
        _refuse_twice(input_ids, columns)
    regions = []
    for number, column in enumerate(columns):
        region = number_region(input_ids, tokens, column)
        chosen = None if offsets is None else offsets[number]
        regions.append(_part(region, chosen, keep_leading))
    masked = torch.stack(regions).any(0)
    if published and order == "random":
        masks = _separate_masks(regions, generator, randperm)
        batch = mask_positions(
            input_ids, masked, tokens, order="none", sample_weights=sample_weights, published=published
        )
        return batch._replace(perm_mask=masks)
    return mask_positions(
        input_ids,
        masked,
        tokens,
        order=order,
        generator=generator,
        randperm=randperm,
        ordered_specials=ordered_specials,
        sample_weights=sample_weights,
        published=published,
    )


def leading_places(
    input_ids: Tensor, tokens: SpecialIds, properties: Properties, share: float, generator: Draws | None
) -> Tensor:
    """Draw how many leading places stay visible in each row, for `keep_leading`.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        properties: As for `mask_properties`; of several, the longest number of a row counts.
        share: Probability that a row keeps any; the number is then uniform from 1 to all but one.
        generator: Draws.

    Returns:
        (B,) int64.
    """
    columns = _columns(properties, len(input_ids))
    width = torch.stack([number_region(input_ids, tokens, column).sum(1) for column in columns]).amax(0)
    draws = uniforms((len(input_ids), 2), generator, input_ids.device)
    most = (width - 1).clamp(min=0)
    count = (draws[:, 1] * most).long().minimum((most - 1).clamp(min=0)) + 1
    return torch.where(draws[:, 0] < share, count.minimum(most), 0)


def _columns(properties: Properties, rows: int) -> list[int | Tensor]:
    """Return the properties one by one, each an id or (B,) ids."""
    if not isinstance(properties, Tensor):
        found: list[int | Tensor] = [int(one) for one in properties]
    else:
        table = properties.view(rows, -1)
        found = list(table.unbind(1))
    if not found:
        raise ValueError("properties is empty: there is nothing to ask for")
    return found


def _refuse_twice(input_ids: Tensor, columns: Sequence[int | Tensor]) -> None:
    for column in columns:
        wanted = column[:, None] if isinstance(column, Tensor) else column
        twice = ((input_ids == wanted).sum(1) > 1).nonzero()
        if len(twice):
            raise ValueError(f"row {int(twice[0])}: a property stands there twice")


def _part(region: Tensor, offsets: Sequence[int] | None, keep_leading: int | Tensor) -> Tensor:
    """Return the places of a number that are masked, of (B, T) where it stands."""
    place = region.cumsum(1) - 1
    if offsets is not None:
        chosen = torch.zeros(region.shape[1] + 1, dtype=torch.bool, device=region.device)
        chosen[[one for one in offsets if 0 <= one < region.shape[1]]] = True
        region = region & chosen[place.clamp(min=0)]
    if isinstance(keep_leading, int) and not keep_leading:
        return region
    kept = torch.as_tensor(keep_leading, device=region.device).view(-1, 1)
    last = torch.where(region, place, -1).amax(1, keepdim=True)
    return region & (place >= torch.minimum(kept, last))


def _separate_masks(regions: Sequence[Tensor], generator: Draws | None, randperm: Tensor | None) -> Tensor:
    """Return the union of one permutation mask a property."""
    given = [None] * len(regions) if randperm is None else randperm.chunk(len(regions))
    masks = [
        permutation_mask(region, generator=generator, randperm=one, halves=True)
        for region, one in zip(regions, given, strict=True)
    ]
    return torch.stack(masks).amax(0)
