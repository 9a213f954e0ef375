"""Where things stand in a row of token ids: numbers of properties, the text, its entities, special tokens.

A row is ``[CLS] <qed> _0_0_ _._ _7_-1_ | <logp> ... | C C O [PAD]? [SEP] [PAD]*``: properties, each closed by the
separator, then the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from seqchem.collating.batch import SpecialIds


def is_any(input_ids: Tensor, ids: Sequence[int]) -> Tensor:
    """Return where any of a few ids stands, bool of the input's shape."""
    found = torch.zeros_like(input_ids, dtype=torch.bool)
    for one in ids:
        found |= input_ids == one
    return found


def special_positions(input_ids: Tensor, tokens: SpecialIds) -> Tensor:
    """Return where [PAD], [UNK], [CLS], [SEP] or [MASK] stand, (B, T) bool: what a model is never asked for."""
    names = ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    return is_any(input_ids, [getattr(tokens, name) for name in names])


def number_region(input_ids: Tensor, tokens: SpecialIds, prop: int | Tensor) -> Tensor:
    """Return where the number of a property stands: behind its token, before the next separator.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        prop: Id of the property's token, or (B,) one a row; -1: none.

    Returns:
        (B, T) bool, all false in rows without the property. Where it stands twice, the first one counts.
    """
    length = input_ids.shape[1]
    place = torch.arange(length, device=input_ids.device)
    wanted = prop[:, None] if isinstance(prop, Tensor) else prop
    found = input_ids == wanted
    start = torch.where(found, place, length).amin(1, keepdim=True)
    behind = place > start
    closing = behind & is_any(input_ids, (tokens.separator_id, tokens.sep_token_id, tokens.pad_token_id))
    return behind & (place < torch.where(closing, place, length).amin(1, keepdim=True))


def number_places(input_ids: Tensor, tokens: SpecialIds, prop: int, width: int) -> Tensor:
    """Return the positions of a property's number, (B, width) int64.

    Raises:
        ValueError: A row has not exactly `width` tokens there.
    """
    region = number_region(input_ids, tokens, prop)
    counts = region.sum(1)
    wrong = (counts != width).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"row {row} has {int(counts[row])} tokens for the number of property {prop}, not {width}")
    return region.nonzero()[:, 1].view(-1, width)


def text_bounds(input_ids: Tensor, tokens: SpecialIds) -> tuple[Tensor, Tensor]:
    """Return where the text begins and where it has ended, both (B,) int64.

    It begins behind the last separator (or [CLS], where there is none) and ends before [SEP] or padding.
    """
    length = input_ids.shape[1]
    place = torch.arange(length, device=input_ids.device)
    opening = (input_ids == tokens.separator_id) | ((input_ids == tokens.cls_token_id) & (place == 0))
    start = torch.where(opening, place, -1).amax(1) + 1
    closing = is_any(input_ids, (tokens.pad_token_id, tokens.sep_token_id)) & (place >= start[:, None])
    return start, torch.where(closing, place, length).amin(1)


def text_region(input_ids: Tensor, tokens: SpecialIds) -> Tensor:
    """Return where the text stands, (B, T) bool; see `text_bounds`."""
    start, end = text_bounds(input_ids, tokens)
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    return (place >= start[:, None]) & (place < end[:, None])


def entity_numbers(input_ids: Tensor, tokens: SpecialIds, separators: Sequence[int]) -> Tensor:
    """Return which entity of the text each position belongs to, (B, T) int64 from 0; -1 outside.

    Args:
        input_ids: (B, T) int64.
        tokens: The special ids.
        separators: Ids between entities (the dot of a reaction); they belong to none.
    """
    text = text_region(input_ids, tokens)
    between = text & is_any(input_ids, separators)
    return torch.where(text & ~between, between.cumsum(1), -1)
