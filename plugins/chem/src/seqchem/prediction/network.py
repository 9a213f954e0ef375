"""From texts to the digits of a property: masked rows in batches of like length through the network.

for chosen, found in asked_numbers(model, "qed", texts, batch_size=64):
    found.numbers.mean, found.numbers.variance          # (B,) of the rows `chosen`

The query stream runs at the masked digits alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqchem.collating.batch import pad_rows
from seqchem.collating.regions import number_places
from seqchem.decoding import (
    DecodedNumbers,
    NumberGrammar,
    beam_number,
    decode_number,
    digit_distribution,
    model_logits,
)

__all__ = ["AskedNumbers", "asked_numbers", "evaluating", "masked_rows"]


class AskedNumbers(NamedTuple):
    """What a network says of B rows.

    Attributes:
        numbers: In the user's units.
        labels: (B, K) distribution over the classes, where the property is a label; None for others.
        invalid: (B,) bool, whether the likeliest tokens of the whole vocabulary are no number; None where digits were
            decoded one after the other.
    """

    numbers: DecodedNumbers
    labels: Tensor | None = None
    invalid: Tensor | None = None


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Run a model without dropout and without gradients; yields its device."""
    was = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield next(model.parameters()).device
    finally:
        model.train(was)


def masked_rows(tokenizer: Any, name: str, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of rows that ask for a property of texts, its number masked.

    Args:
        tokenizer: With a number format of the property.
        name: The property.
        texts: In the tokenizer's language.
    """
    form, width = tokenizer.number_formats[name], len(tokenizer.slot_ids(name))
    masks, rows = [tokenizer.mask_token_id] * width, []
    for text in texts:
        ids = list(tokenizer.encode(tokenizer.expression({name: form.minimum}, text)))
        start = ids.index(tokenizer.property_id(name)) + 1
        ids[start : start + width] = masks
        rows.append(ids)
    return rows


def by_length(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Yield indices of rows by ascending length, as many at a time as there are in a batch."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def asked_numbers(
    model: Any, name: str, texts: Sequence[str], *, batch_size: int, beams: int = 0
) -> Iterator[tuple[list[int], AskedNumbers]]:
    """Yield (indices of texts, what the model says of them), the shortest first.

    Args:
        model: A Regression Transformer.
        name: The property.
        texts: In the model's language.
        batch_size: Rows at once.
        beams: 0: one pass for all digits; else from left to right with that many beginnings kept.
    """
    tokenizer, grammar = model.tokenizer, NumberGrammar.of(model.tokenizer, name)
    rows, logits_at = masked_rows(tokenizer, name, texts), model_logits(model)
    is_label = tokenizer.number_formats[name].labels is not None
    with evaluating(model) as device:
        for chosen in by_length(rows, batch_size):
            ids = pad_rows([rows[index] for index in chosen], tokenizer.pad_token_id, even=False).to(device)
            places = number_places(ids, tokenizer, tokenizer.property_id(name), grammar.width)
            if beams and not is_label:
                mask = tokenizer.mask_token_id
                numbers = beam_number(logits_at, ids, places, grammar, mask_token_id=mask, width=beams)
                yield chosen, AskedNumbers(numbers)
                continue
            logits = logits_at(ids, places)
            labels = digit_distribution(logits, grammar)[0] if is_label else None
            yield chosen, AskedNumbers(decode_number(logits, grammar), labels, _no_number(logits, grammar))


def _no_number(logits: Tensor, grammar: NumberGrammar) -> Tensor:
    """Return which rows' likeliest tokens of the whole vocabulary are no number: (B,) bool."""
    likeliest = logits.argmax(-1)
    fits = [torch.isin(likeliest[:, place], likeliest.new_tensor(allowed)) for place, allowed in enumerate(grammar.ids)]
    return ~torch.stack(fits).all(0)
