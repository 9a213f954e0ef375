"""A batch of the Regression Transformer, and how any choice of masked positions becomes one.

    ids = pad_rows(rows, tokenizer.pad_token_id)
    batch = mask_positions(ids, masked, tokenizer, generator=generator)
    logits = model(batch.input_ids, attention_mask=batch.attention_mask, perm_mask=batch.perm_mask,
                   positions=batch.positions())
    loss = property_loss(logits, batch.position_labels())

The functions take the special ids from anything that has their names: a tokenizer, or `SpecialTokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from seqchem.collating.draws import Draws
from seqchem.collating.permutation import Order, permutation_mask
from seqchem.collating.regions import is_any
from seqsuite.objectives import IGNORE


class SpecialIds(Protocol):
    """What the functions ask of a tokenizer."""

    @property
    def pad_token_id(self) -> int:
        """Id of [PAD]."""
        ...

    @property
    def unk_token_id(self) -> int:
        """Id of [UNK]."""
        ...

    @property
    def cls_token_id(self) -> int:
        """Id of [CLS]."""
        ...

    @property
    def sep_token_id(self) -> int:
        """Id of [SEP]."""
        ...

    @property
    def mask_token_id(self) -> int:
        """Id of [MASK]."""
        ...

    @property
    def separator_id(self) -> int:
        """Id of what closes a property."""
        ...


class SpecialTokens(NamedTuple):
    """Special ids by themselves, where there is no tokenizer."""

    pad_token_id: int
    unk_token_id: int
    cls_token_id: int
    sep_token_id: int
    mask_token_id: int
    separator_id: int


class RTBatch(NamedTuple):
    """Masked rows and what is asked of the model.

    Attributes:
        input_ids: (B, T) int64, [MASK] where something is asked.
        attention_mask: (B, T) float32, 0 at padding.
        perm_mask: (B, T, T) float32, 1 where token i may not see token j; None for models that take none.
        labels: (B, T) int64, the original tokens where something is asked, -100 elsewhere.
        sample_weights: (B,) float32 weight of each row's loss.
        real_property: (B, K) numbers that the rows carried, where they were asked for.
        masked: (B, T) bool, where something is asked; None: where there is a label.
    """

    input_ids: Tensor
    attention_mask: Tensor
    perm_mask: Tensor | None
    labels: Tensor
    sample_weights: Tensor
    real_property: Tensor | None = None
    masked: Tensor | None = None

    @property
    def asked(self) -> Tensor:
        """(B, T) bool, where something is asked."""
        return self.labels != IGNORE if self.masked is None else self.masked

    def positions(self) -> Tensor:
        """Return the asked positions of each row in reading order, (B, P) int64, P that of the row with most.

        Shorter rows are filled up with position 0, whose label is -100. P is 1 where nothing is asked at all.
        """
        order, kept = self._places()
        return order.masked_fill(~kept, 0)

    def position_labels(self) -> Tensor:
        """Return the labels at `positions`, (B, P) int64, -100 where a row is filled up."""
        order, kept = self._places()
        return self.labels.gather(1, order).masked_fill(~kept, IGNORE)

    def _places(self) -> tuple[Tensor, Tensor]:
        asked = self.asked
        counts = asked.sum(1)
        most = max(int(counts.max()), 1)
        order = asked.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        return order, torch.arange(most, device=asked.device) < counts[:, None]

    def to(self, device: torch.device | str) -> RTBatch:
        """Return the batch on a device."""
        moved = {name: field.to(device) for name, field in self._asdict().items() if field is not None}
        return self._replace(**moved)


def pad_rows(rows: Sequence[Sequence[int]], pad_token_id: int, *, even: bool = True) -> Tensor:
    """Stack rows of unlike length, filled up behind.

    Args:
        rows: Token ids.
        pad_token_id: What they are filled with.
        even: To an even length, as the published permutations need it.

    Returns:
        (B, T) int64.

    Raises:
        ValueError: There is no row.
    """
    if not len(rows):
        raise ValueError("a batch needs at least one row")
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    longest = int(lengths.max())
    longest += even and longest % 2
    ids = np.full((len(rows), longest), pad_token_id, np.int64)
    kept = np.arange(longest) < lengths[:, None]
    ids[kept] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return torch.from_numpy(ids)


def attended(input_ids: Tensor, pad_token_id: int, *, published: bool = False) -> Tensor:
    """Return the attention mask, (B, T) float32: 1 except at padding.

    Args:
        input_ids: (B, T) int64.
        pad_token_id: The padding.
        published: The published collators take id 0 for padding whatever it is, so that in vocabularies with
            another one padding is attended.
    """
    return (input_ids != (0 if published else pad_token_id)).float()


def mask_positions(
    input_ids: Tensor,
    masked: Tensor,
    tokens: SpecialIds,
    *,
    order: Order = "random",
    generator: Draws | None = None,
    randperm: Tensor | None = None,
    ordered_specials: bool = False,
    sample_weights: Tensor | None = None,
    real_property: Tensor | None = None,
    published: bool = False,
) -> RTBatch:
    """Mask chosen positions and make the batch.

    Args:
        input_ids: (B, T) int64.
        masked: (B, T) bool, the positions to ask for.
        tokens: The special ids.
        order: How masked tokens see each other; "none" leaves `perm_mask` out, for models without it.
        generator: Draws a random order.
        randperm: In its place; see `permutation_mask`.
        ordered_specials: [CLS] and [SEP] take places in the order; see `functional` of `permutation_mask`.
        sample_weights: (B,), 1 by default.
        real_property: Handed on.
        published: Both halves share a permutation and id 0 is padding, as in the published collators.
    """
    perm_mask = None
    if order != "none":
        functional = is_any(input_ids, (tokens.cls_token_id, tokens.sep_token_id)) if ordered_specials else None
        perm_mask = permutation_mask(
            masked, generator=generator, randperm=randperm, order=order, halves=published, functional=functional
        )
    return RTBatch(
        input_ids=input_ids.masked_fill(masked, tokens.mask_token_id),
        attention_mask=attended(input_ids, tokens.pad_token_id, published=published),
        perm_mask=perm_mask,
        labels=input_ids.masked_fill(~masked, IGNORE),
        sample_weights=input_ids.new_ones(len(input_ids), dtype=torch.float32)
        if sample_weights is None
        else sample_weights.float(),
        real_property=real_property,
        masked=masked,
    )
