"""Conditional generation: parts of the text are masked, the properties are seen; and masking anything at all.

mask_plm(ids, tokenizer, generator=generator)                            # pretraining
mask_conditional(ids, tokenizer, probability=0.4, max_span=12, generator=generator)
mask_entities(ids, tokenizer, [dot], entity=None, generator=generator)   # one precursor of a reaction
mask_entities(ids, tokenizer, [dot], entity=1, whole=True, order="forward")  # a binder behind its target
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqchem.collating.batch import RTBatch, SpecialIds, mask_positions
from seqchem.collating.draws import Draws, uniforms
from seqchem.collating.permutation import Order
from seqchem.collating.regions import entity_numbers, is_any, special_positions, text_bounds
from seqchem.collating.spans import draw_spans, published_spans, span_draws


def mask_plm(
    input_ids: Tensor,
    tokens: SpecialIds,
    *,
    probability: float = 1 / 6,
    max_span: int = 5,
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    ordered_specials: bool = False,
    published: bool = False,
) -> RTBatch:
    """Mask spans of the whole expression, properties and text alike (permutation language modelling).

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        probability: Share of the tokens that are masked.
        max_span: Longest span.
        order: How masked tokens see each other; see `mask_positions`.
        generator: Draws spans and order.
        randperm: The order; see `permutation_mask`.
        ordered_specials: [CLS] and [SEP] take places in the order.
        published: Draw in the order of the published collator, whose spans also fall on special tokens and are
            then dropped, so that a short row can end with nothing masked; only [CLS], [SEP] and padding count as
            special. Otherwise spans lie between [CLS] and [SEP], [UNK] is never asked for, and every row with
            anything to mask has something masked.
    """
    rows, length = input_ids.shape
    start = torch.zeros(rows, dtype=torch.int64, device=input_ids.device)
    if published:
        masked = _published_rows(start, length, input_ids, tokens, probability, max_span, generator, clip=False)
        keys = randperm
    else:
        inside = ~is_any(input_ids, (tokens.pad_token_id, tokens.sep_token_id))
        opening = (input_ids[:, 0] == tokens.cls_token_id).long()
        end = torch.where(inside, torch.arange(1, length + 1, device=input_ids.device), 0).amax(1)
        masked, keys = _spans(input_ids, tokens, opening, end, None, probability, max_span, generator)
        keys = keys if randperm is None else randperm
    return mask_positions(
        input_ids,
        masked,
        tokens,
        order=order,
        generator=generator,
        randperm=keys,
        ordered_specials=ordered_specials,
        published=published,
    )


def mask_conditional(
    input_ids: Tensor,
    tokens: SpecialIds,
    *,
    probability: float = 1 / 6,
    max_span: int = 5,
    keep: Tensor | None = None,
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    ordered_specials: bool = False,
    sample_weights: Tensor | None = None,
    real_property: Tensor | None = None,
    published: bool = False,
) -> RTBatch:
    """Mask spans of the text behind the last separator; the properties stay visible.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        probability: Share of the tokens that are masked.
        max_span: Longest span.
        keep: (B, T) bool, positions that are never masked.
        order: How masked tokens see each other; see `mask_positions`.
        generator: Draws spans and order.
        randperm: The order; see `permutation_mask`.
        ordered_specials: [CLS] and [SEP] take places in the order.
        sample_weights: (B,), 1 by default.
        real_property: Handed on.
        published: Draw in the order of the published collator, whose spans run to the end of the padded row and
            are dropped where they meet special tokens: a short text can end with nothing masked. Otherwise at
            least one token of every text is masked, where there is one that may be.
    """
    start, end = text_bounds(input_ids, tokens)
    length = input_ids.shape[1]
    if published:
        masked = _published_rows(start, length, input_ids, tokens, probability, max_span, generator)
        masked = masked if keep is None else masked & ~keep
        keys = randperm
    else:
        masked, keys = _spans(input_ids, tokens, start, end, keep, probability, max_span, generator)
        keys = keys if randperm is None else randperm
    return mask_positions(
        input_ids,
        masked,
        tokens,
        order=order,
        generator=generator,
        randperm=keys,
        ordered_specials=ordered_specials,
        sample_weights=sample_weights,
        real_property=real_property,
        published=published,
    )


def mask_entities(
    input_ids: Tensor,
    tokens: SpecialIds,
    separators: Sequence[int],
    *,
    entity: int | None = None,
    whole: bool = False,
    probability: float = 1.0,
    max_span: int = 7,
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    published: bool = False,
    **more: Any,
) -> RTBatch:
    """Mask spans of one entity of the text: a molecule of a reaction, the binder behind its target.

    Rows that have no such entity are asked for nothing.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        separators: Ids between entities.
        entity: Which, from 0; below 0 from the end; None: drawn for each row.
        whole: Mask all of it, drawing nothing but the order.
        probability: Share of the entity's tokens that are masked.
        max_span: Longest span.
        order: How masked tokens see each other; see `mask_positions`.
        generator: Draws entity, spans and order.
        randperm: The order; see `permutation_mask`.
        published: Draw in the order of the published collator, which never masks the last token of an entity
            longer than one token. Needs `entity`.
        more: `sample_weights`, `real_property`, `ordered_specials` of `mask_positions`.

    Raises:
        ValueError: `published` without an entity, or nothing to draw from.
    """
    numbers = entity_numbers(input_ids, tokens, separators)
    start, end = _entity_bounds(numbers, entity, generator)
    keys = randperm
    if whole:
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        masked = (place >= start[:, None]) & (place < end[:, None]) & ~special_positions(input_ids, tokens)
    elif published:
        if entity is None:
            raise ValueError("the published order of draws needs an entity")
        cut = torch.where(end - start > 1, end - 1, end)
        masked = _published_rows(start, cut, input_ids, tokens, probability, max_span, generator)
    else:
        masked, drawn = _spans(input_ids, tokens, start, end, None, probability, max_span, generator)
        keys = drawn if randperm is None else randperm
    return mask_positions(
        input_ids, masked, tokens, order=order, generator=generator, randperm=keys, published=published, **more
    )


def _spans(
    input_ids: Tensor,
    tokens: SpecialIds,
    start: Tensor,
    end: Tensor,
    keep: Tensor | None,
    probability: float,
    max_span: int,
    generator: Draws | None,
) -> tuple[Tensor, Tensor]:
    """Return where spans fall, (B, T) bool, and places of the positions in an order, (B, T) uniform numbers.

    All numbers are drawn at once, position by position, so that a row's do not depend on its padding.
    """
    rows, length = input_ids.shape
    draws = uniforms((rows, length, 3), generator, input_ids.device)
    pairs = draws[:, : span_draws(length, probability), :2]
    spans = draw_spans(start, end, length, probability=probability, max_span=max_span, draws=pairs)
    place = torch.arange(length, device=input_ids.device)
    free = (place >= start[:, None]) & (place < end[:, None]) & ~special_positions(input_ids, tokens)
    free = free if keep is None else free & ~keep
    masked, keys = spans & free, draws[..., 2]
    # Where the spans met only what must not be masked, one of the others is.
    spare = torch.where(free, keys, -1.0).argmax(1, keepdim=True)
    lacking = free & ~masked.any(1, keepdim=True)
    return masked | (lacking & (place == spare)), keys


def _published_rows(
    start: Tensor,
    end: int | Tensor,
    input_ids: Tensor,
    tokens: SpecialIds,
    probability: float,
    max_span: int,
    generator: Draws | None,
    *,
    clip: bool = True,
) -> Tensor:
    """Return the spans of `published_spans` row by row, special tokens taken out, (B, T) bool."""
    if not isinstance(generator, torch.Generator):
        raise ValueError("the published order of draws needs one generator")
    rows, length = input_ids.shape
    ends = end.tolist() if isinstance(end, Tensor) else [end] * rows
    options: dict[str, Any] = {"probability": probability, "max_span": max_span, "generator": generator, "clip": clip}
    masked = torch.stack(
        [published_spans(a, b, length, **options) for a, b in zip(start.tolist(), ends, strict=True)]
    ).to(input_ids.device)
    return masked & ~is_any(input_ids, (tokens.cls_token_id, tokens.sep_token_id, tokens.pad_token_id))


def _entity_bounds(numbers: Tensor, entity: int | None, generator: Draws | None) -> tuple[Tensor, Tensor]:
    """Return where an entity begins and has ended in each row, both (B,); equal where there is none."""
    counts = numbers.amax(1) + 1
    if entity is None:
        drawn = uniforms((len(numbers), 1), generator, numbers.device)[:, 0]
        wanted = (drawn * counts).long().minimum((counts - 1).clamp(min=0))
    else:
        wanted = counts + entity if entity < 0 else torch.full_like(counts, entity)
    own = (numbers == wanted[:, None]) & (wanted >= 0)[:, None]
    place = torch.arange(numbers.shape[1], device=numbers.device)
    end = torch.where(own, place + 1, 0).amax(1)
    start = torch.where(own, place, numbers.shape[1]).amin(1)
    return torch.minimum(start, end), end
