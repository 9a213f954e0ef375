"""Data sets of a run: positions without end to train on, and rows to score.

An item says which row a position holds; `collate` puts a batch together and tokenises nothing. What is drawn for a row
comes from generators of its own, seeded by the run's seed and the position: neither its batch nor the number of
workers changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqchem.collating import (
    RTBatch,
    leading_places,
    mask_conditional,
    mask_entities,
    mask_plm,
    mask_positions,
    mask_properties,
    pad_rows,
    special_positions,
    text_region,
)
from seqchem.training.augment import Augmenter
from seqchem.training.order import LengthOrder, Mode, Schedule
from seqchem.training.rows import TokenRows
from seqsuite.data.order import item_rng, item_seed

_CHOICE, _MASK, _SECOND, _VALID, _WHOLE = 1, 2, 3, 4, 5
_ORDERS: dict[Mode, int] = {"property": 20, "conditional": 21, "plm": 22}


@dataclass(frozen=True)
class Masking:
    """How batches are masked.

    Attributes:
        drop_others: Probability that a property beside the asked one is left out.
        leading: Probability that leading digits are visible.
        probability: Share of the tokens that are masked.
        max_span: Longest span.
        whole: Probability that a whole sequence is masked.
        separators: Ids between the entities of a sequence; none: it is masked anywhere.
        entity: Which entity; None: drawn.
        permuted: Whether the model takes a permutation mask.
        consistent: Whether generation steps ask for their property again.
    """

    drop_others: float = 0.5
    leading: float = 0.25
    probability: float = 0.4
    max_span: int = 7
    whole: float = 0.0
    separators: tuple[int, ...] = ()
    entity: int | None = None
    permuted: bool = True
    consistent: bool = False

    @property
    def order(self) -> Literal["random", "none"]:
        """Return how masked tokens see each other."""
        return "random" if self.permuted else "none"


class TrainingRows(Dataset[dict[str, int]]):
    """Positions without end.

    Args:
        rows: The training rows.
        tokenizer: Its special ids.
        schedule: What each step does.
        masking: How.
        batch_size: Rows of a step over all devices and accumulated parts.
        seed: Of everything that is drawn.
        bucket: See `LengthOrder`.
        augmenter: Writes molecules in other ways.

    Raises:
        ValueError: No row has a property, and steps ask for one.
    """

    def __init__(
        self,
        rows: TokenRows,
        tokenizer: Any,
        schedule: Schedule,
        masking: Masking,
        *,
        batch_size: int,
        seed: int,
        bucket: int = 50,
        augmenter: Augmenter | None = None,
    ) -> None:
        self.rows, self.tokenizer, self.schedule, self.masking = rows, tokenizer, schedule, masking
        self.batch_size, self.seed, self.augmenter = batch_size, seed, augmenter
        everything = np.arange(len(rows))
        labelled = np.flatnonzero(np.any(list(rows.present.values()), axis=0)) if rows.present else everything[:0]
        self._kept: dict[Mode, np.ndarray] = {"property": labelled, "conditional": everything, "plm": everything}
        modes: list[Mode] = [schedule.mode(0), schedule.mode(schedule.alternate)]
        self._orders = {
            mode: LengthOrder(rows.lengths[self._kept[mode]], batch_size, item_seed(seed, _ORDERS[mode]), bucket=bucket)
            for mode in dict.fromkeys(modes)
        }

    def __getitem__(self, position: int) -> dict[str, int]:
        step, place = divmod(position, self.batch_size)
        mode = self.schedule.mode(step)
        index = self._orders[mode].index(self.schedule.done(step) * self.batch_size + place)
        return {"step": step, "position": position, "row": int(self._kept[mode][index])}

    def collate(self, items: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Return a batch: its `mode`, and tensors; see `batch_tensors`.

        Args:
            items: Of one step.
        """
        mode = self.schedule.mode(items[0]["step"])
        texts, asked = [], []
        for item in items:
            names, name = self._chosen(item, mode)
            texts.append(self.rows.ids(item["row"], names, self._rewritten(item)))
            asked.append(self.rows.property_ids.get(name, -1))
        ids = pad_rows(texts, self.tokenizer.pad_token_id)
        draws = [generator(self.seed, _MASK, item["position"]) for item in items]
        wanted = torch.tensor(asked)
        batch = masked_batch(ids, self.tokenizer, mode, wanted, self.masking, draws)
        found = {"mode": mode, **batch_tensors(batch)}
        if mode == "conditional" and self.masking.consistent:
            # What was filled in does not move the numbers: where they are masked can be said beforehand.
            second = [generator(self.seed, _SECOND, item["position"]) for item in items]
            again = mask_properties(ids, self.tokenizer, wanted, order=self.masking.order, generator=second)
            found |= {f"again_{name}": value for name, value in batch_tensors(again).items()}
        return found

    def _chosen(self, item: dict[str, int], mode: Mode) -> tuple[list[str], str]:
        """Return the properties that stand in a row's text, and the one that is asked for."""
        names = self.rows.names(item["row"])
        if mode == "plm" or not names:
            return names, ""
        if len(names) == 1:
            return names, names[0]
        rng = item_rng(self.seed, _CHOICE, item["position"])
        asked = names[int(rng.integers(len(names)))]
        dropped = rng.random(len(names)) < self.masking.drop_others
        return [name for name, drop in zip(names, dropped, strict=True) if name == asked or not drop], asked

    def _rewritten(self, item: dict[str, int]) -> list[int] | None:
        return None if self.augmenter is None else self.augmenter(item["row"], item["position"])


class ScoringRows(Dataset[dict[str, int]]):
    """Rows to score: each of their properties asked from nothing but the sequence, and masked parts of the sequence.

    Args:
        rows: The rows.
        tokenizer: Its special ids.
        masking: How sequences are masked.
        mode: conditional asks for properties and parts of sequences; plm for anything, as pretraining does.
        seed: Of the masks: the same in every validation.
    """

    def __init__(self, rows: TokenRows, tokenizer: Any, masking: Masking, *, mode: Mode, seed: int) -> None:
        self.rows, self.tokenizer, self.masking, self.mode, self.seed = rows, tokenizer, masking, mode, seed
        names = list(rows.present) if mode != "plm" else []
        # Of one row with several properties the sequence is scored once, with the first.
        self.items = [
            {"row": row, "property": number, "first": int(place == 0)}
            for row in range(len(rows))
            for place, number in enumerate([n for n, name in enumerate(names) if rows.present[name][row]] or [-1])
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, int]:
        return self.items[index]

    def collate(self, items: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Return two batches in one: tensors of the asked properties, and those of the sequence behind `text_`.

        Args:
            items: Any.
        """
        names = list(self.rows.present)
        found: dict[str, Any] = {"mode": "scoring"}
        asked = [item for item in items if item["property"] >= 0]
        if asked:
            texts = [self.rows.ids(item["row"], [names[item["property"]]]) for item in asked]
            ids = pad_rows(texts, self.tokenizer.pad_token_id)
            wanted = torch.tensor([self.rows.property_ids[names[item["property"]]] for item in asked])
            batch = mask_properties(ids, self.tokenizer, wanted, order="hidden" if self.masking.permuted else "none")
            found |= batch_tensors(batch)
            found["row"] = torch.tensor([item["row"] for item in asked])
            found["property"] = torch.tensor([item["property"] for item in asked])
        first = [item for item in items if item["first"]]
        if first:
            shown = [[names[item["property"]]] if item["property"] >= 0 else [] for item in first]
            if self.mode == "plm":
                shown = [self.rows.names(item["row"]) for item in first]
            texts = [self.rows.ids(item["row"], some) for item, some in zip(first, shown, strict=True)]
            draws = [generator(self.seed, _VALID, item["row"]) for item in first]
            mode: Mode = "plm" if self.mode == "plm" else "conditional"
            ids = pad_rows(texts, self.tokenizer.pad_token_id)
            batch = masked_batch(ids, self.tokenizer, mode, None, self.masking, draws)
            found |= {f"text_{name}": value for name, value in batch_tensors(batch).items()}
        return found


def generator(seed: int, *keys: int) -> torch.Generator:
    """Return a generator that is a function of these numbers.

    Args:
        seed: The run's.
        keys: What names the row.
    """
    return torch.Generator().manual_seed(item_seed(seed, *keys) & (2**63 - 1))


def masked_batch(
    ids: Tensor, tokenizer: Any, mode: Mode, asked: Tensor | None, masking: Masking, draws: list[torch.Generator]
) -> RTBatch:
    """Mask a batch as its mode wants it.

    Args:
        ids: (B, T).
        tokenizer: Its special ids.
        mode: Property prediction, conditional generation or anything.
        asked: (B,) ids of the asked properties, -1 where there is none; None but in property prediction.
        masking: How.
        draws: A generator for each row.
    """
    spans: dict[str, Any] = {"probability": masking.probability, "max_span": masking.max_span}
    if mode == "plm":
        return mask_plm(ids, tokenizer, order=masking.order, generator=draws, **spans)
    if mode == "property":
        assert asked is not None
        kept = leading_places(ids, tokenizer, asked, masking.leading, draws) if masking.leading else 0
        return mask_properties(ids, tokenizer, asked, keep_leading=kept, order=masking.order, generator=draws)
    if masking.separators:
        return mask_entities(
            ids, tokenizer, masking.separators, entity=masking.entity, order=masking.order, generator=draws, **spans
        )
    batch = mask_conditional(ids, tokenizer, order=masking.order, generator=draws, **spans)
    if not masking.whole:
        return batch
    # Generators of their own: how much the spans have drawn depends on how far the batch is padded.
    fresh = [torch.Generator().manual_seed(item_seed(one.initial_seed(), _WHOLE) & (2**63 - 1)) for one in draws]
    chosen = torch.stack([torch.rand((), generator=one) for one in fresh]) < masking.whole
    everything = text_region(ids, tokenizer) & ~special_positions(ids, tokenizer)
    masked = torch.where(chosen[:, None], everything, batch.asked)
    return mask_positions(ids, masked, tokenizer, order=masking.order, generator=fresh)


def batch_tensors(batch: RTBatch) -> dict[str, Tensor]:
    """Return what a step needs of a batch: inputs, masks, and where it asks for what.

    Args:
        batch: From a collator.
    """
    found = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "positions": batch.positions(),
        "position_labels": batch.position_labels(),
    }
    return found if batch.perm_mask is None else {**found, "perm_mask": batch.perm_mask}
