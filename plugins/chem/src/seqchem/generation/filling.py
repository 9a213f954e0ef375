"""Masked tokens become tokens, a part of them a round, the model being run again after each.

    ids = fill_masks(model, rows, FillOptions(rounds=8), generator=generator)

Each row starts with M masked tokens. With r rounds left and m tokens still masked, a round settles ceil(m / r) of
them: it draws each from the model's distribution (temperature, top-p, only tokens of the language), all masked
tokens hidden from one another, and writes them into the row; the next round sees them. Which tokens a round settles:

- "random": drawn ones. With a round for every token this is a draw from the model as an order-agnostic
  autoregressive one, which is what permutation training fits; fewer rounds take tokens of a round for independent.
- "confidence": a token is drawn for every masked place, and those with the highest probability stay.
- "left": the leftmost, as a language model writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from seqchem.collating import pad_rows, permutation_mask
from seqchem.generation.options import FillOptions
from seqchem.prediction.network import evaluating
from seqchem.proteins.letters import FURTHER_LETTERS
from seqchem.tokenizers.splitting import SPLITTERS
from seqsuite.errors import UserError

_NOT_WRITTEN = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[nop]", "|", ".", ">", ">>", "*"})


@lru_cache(maxsize=32)
def _written(vocabulary: tuple[str, ...], language: str) -> tuple[int, ...]:
    split = SPLITTERS[language]
    left_out = _NOT_WRITTEN.union(FURTHER_LETTERS if language == "protein" else ())
    found = []
    for number, token in enumerate(vocabulary):
        if token and token not in left_out and not token.startswith("[unused") and _alone(split, token):
            found.append(number)
    return tuple(found)


def _alone(split: Any, token: str) -> bool:
    try:
        return bool(split(token) == [token])
    except UserError:  # a bracket that is not closed
        return False


def sequence_tokens(config: Any) -> tuple[int, ...]:
    """Return the ids of the tokens that a sequence may be written with.

    What separates molecules (`.`, `>`) is not among them: a generated molecule is one molecule. Proteins are written
    with the twenty amino acids alone, whatever else the training rows had.

    Args:
        config: The model's `RTConfig`.

    Raises:
        UserError: The vocabulary has no token of the language.
    """
    found = _written(tuple(config.vocabulary), config.language)
    if not found:
        raise UserError(f"the model's vocabulary has no token of its language, {config.language}")
    return found


def fill_masks(
    model: Any,
    rows: Sequence[Sequence[int]],
    options: FillOptions | None = None,
    *,
    allowed: Sequence[int] | None = None,
    generator: torch.Generator,
) -> list[list[int]]:
    """Return rows whose masked tokens are drawn from the model; see the module.

    Args:
        model: A Regression Transformer.
        rows: Token ids with the id of [MASK] where something is to be drawn.
        options: How.
        allowed: Ids that may be drawn; None: `sequence_tokens`.
        generator: Draws, on the CPU; the same one, rows and batch size give the same tokens.

    Returns:
        The rows in their order.
    """
    options = options or FillOptions()
    ids = torch.tensor(list(allowed) if allowed is not None else sequence_tokens(model.config))
    filled: list[list[int]] = [list(row) for row in rows]
    mask = model.tokenizer.mask_token_id
    # Rows of like length and like number of masks share a batch: the longest row sets the cost of all.
    order = sorted(range(len(rows)), key=lambda row: (len(rows[row]), rows[row].count(mask)))
    with evaluating(model) as device:
        for start in range(0, len(order), options.batch_size):
            chosen = order[start : start + options.batch_size]
            batch = pad_rows([rows[row] for row in chosen], model.tokenizer.pad_token_id)
            done = _fill(model, batch, ids, options, generator, device)
            for row, line in zip(chosen, done.tolist(), strict=True):
                filled[row] = line[: len(rows[row])]
    return filled


def _fill(
    model: Any, batch: Tensor, allowed: Tensor, options: FillOptions, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Fill one padded batch (B, T)."""
    batch = batch.clone()
    masked = batch == model.tokenizer.mask_token_id
    rounds = options.rounds or int(masked.sum(1).max())
    for left in range(rounds, 0, -1):
        remaining = masked.sum(1)
        quota = -(-remaining // left)
        if not int(quota.max()):
            continue
        # Only the places of this round are asked for where the round can be told without the model.
        keys = _keys(masked, options.order, generator)
        asked = masked if options.order == "confidence" else _first(keys, masked, quota)
        places, real = _places(asked)
        logits = _logits(model, batch, masked, places, device)[..., allowed]  # (B, P, A)
        drawn, probability = _draw(logits, options, generator)
        if options.order == "confidence":
            sure = torch.full(masked.shape, torch.inf).scatter(1, places, torch.where(real, -probability, torch.inf))
            asked = _first(sure, masked, quota)
        tokens = torch.zeros_like(batch)
        rows = torch.arange(len(batch))[:, None].expand_as(places)
        tokens[rows[real], places[real]] = allowed[drawn[real]]
        batch = torch.where(asked, tokens, batch)
        masked = masked & ~asked
    return batch


def _keys(masked: Tensor, order: str, generator: torch.Generator) -> Tensor:
    if order == "random":
        return torch.rand(masked.shape, generator=generator)
    return torch.arange(masked.shape[1], dtype=torch.float32).expand(masked.shape)


def _first(keys: Tensor, masked: Tensor, quota: Tensor) -> Tensor:
    """Return (B, T) which masked places are among the `quota` of their row with the least keys."""
    ranks = keys.masked_fill(~masked, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    return masked & (ranks < quota[:, None])


def _places(asked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the asked places of each row in order (B, P), filled up, and which of them are real (B, P)."""
    counts = asked.sum(1)
    most = max(1, int(counts.max()))
    places = asked.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    return places, torch.arange(most) < counts[:, None]


def _logits(model: Any, batch: Tensor, masked: Tensor, places: Tensor, device: torch.device) -> Tensor:
    hidden = permutation_mask(masked, order="hidden").to(device) if model.config.mixer == "xlnet" else None
    found: Tensor = model(batch.to(device), perm_mask=hidden, positions=places.to(device))
    return found.float().cpu()


def _draw(logits: Tensor, options: FillOptions, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return drawn numbers (B, P) among the A allowed tokens, and their probabilities."""
    shares = torch.softmax(logits / options.temperature, dim=-1)
    if options.top_p < 1:
        ordered, order = shares.sort(dim=-1, descending=True, stable=True)
        # A token stays where those before it have not reached top_p: the first always does.
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= options.top_p, 0.0)
        shares = torch.zeros_like(shares).scatter(-1, order, ordered)
        shares = shares / shares.sum(-1, keepdim=True)
    heights = torch.rand(shares.shape[:-1], generator=generator)[..., None]
    # The last running sum may end below 1, and a height may fall on tokens of no probability.
    drawn = (shares.cumsum(-1) <= heights).sum(-1, keepdim=True)
    last = shares.shape[-1] - 1 - (shares.flip(-1) > 0).to(torch.uint8).argmax(-1, keepdim=True)
    drawn = torch.minimum(drawn, last)
    return drawn[..., 0], shares.gather(-1, drawn)[..., 0]
