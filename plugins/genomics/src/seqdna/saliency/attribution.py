"""Scores of every base at every position: in-silico mutagenesis and gradient times input.

Mutagenesis. Language models: log p(b) - log p(the base there), natural logarithm, given what the model sees
besides that position (all others, or those before it). Classifiers: the change of one class's logit when the
base is replaced by b, for all 3L replacements.

Gradient. The derivative of one number by the one-hot input (L, 4), taken at the embedding: the input is
x[t, b] and the embedded sequence is x E. The number is a class's logit, or a language model's log p of the
base at one position, which explains that prediction by the other bases. From each position the mean over
the four bases is taken off (Majdandzic et al. 2023): a one-hot input stays on the plane where a position
sums to one, and the derivative out of that plane is arbitrary. What is left are hypothetical contributions,
what b would add in place of an average base; that of the base that is there is gradient times input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdna.likelihood import LANGUAGE_HEADS, at_sites, evaluating, everywhere, log_of_true
from seqdna.models.base import DNAModel
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name

STRANDS = ("model", "both")


def log_probabilities(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    span: tuple[int, int] | None = None,
    mask_stride: int | None = None,
    strands: str = "model",
    batch_tokens: int = 16384,
) -> np.ndarray:
    """Return log p of A, C, G, T at positions of a language model, see `seqdna.likelihood.everywhere`.

    Args:
        model: A language model.
        tokenizer: Its tokenizer.
        ids: (L,) ids.
        span: First position and the one behind the last; None: all.
        mask_stride: Of masked models: mask every k-th base together; None: one at a time.
        strands: "model": the sequence as it stands; "both": the mean of log p over both strands, renormalised.
        batch_tokens: Ids to run at once.

    Returns:
        (n, 4) for the n positions of the span; nan where a causal model predicts nothing.
    """
    start, end = span or (0, len(ids))

    def one_strand(row: np.ndarray, start: int, end: int) -> np.ndarray:
        if model.config.head == "masked_lm" and mask_stride is None:
            windows = np.broadcast_to(row, (end - start, len(row)))
            return at_sites(model, tokenizer, windows, np.arange(start, end), batch_tokens=batch_tokens)
        return everywhere(model, tokenizer, row, mask_stride=mask_stride, batch_tokens=batch_tokens)[start:end]

    given = one_strand(ids, start, end)
    if strands == "model" or model.config.both_strands:
        return given
    other = one_strand(tokenizer.reverse_complement(ids), len(ids) - end, len(ids) - start)
    mean = (given + other[::-1, ::-1]) / 2  # A, C, G, T backwards is their complement
    return mean - np.log(np.exp(mean).sum(-1, keepdims=True))


def mutagenesis(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    span: tuple[int, int] | None = None,
    target: int | None = None,
    mask_stride: int | None = None,
    strands: str = "model",
    batch_tokens: int = 16384,
) -> np.ndarray:
    """Score every single-base replacement in one sequence.

    Args:
        model: A language model or a classifier.
        tokenizer: Its tokenizer.
        ids: (L,) ids.
        span: First position to replace and the one behind the last, the rest is context; None: all.
        target: Class of a classifier; None: the one it predicts.
        mask_stride: Of masked models, see `log_probabilities`.
        strands: "model", or "both": the mean over a sequence and its reverse complement.
        batch_tokens: Ids to run at once.

    Returns:
        (n, 4) over A, C, G, T, 0 at the base that is there; nan where that is not A, C, G or T.

    Raises:
        UserError: The model has another head, or no such class.
    """
    if strands not in STRANDS:
        raise unknown_name("strands", strands, STRANDS)
    start, end = span or (0, len(ids))
    if model.config.head in LANGUAGE_HEADS:
        options: dict[str, Any] = {"mask_stride": mask_stride, "strands": strands, "batch_tokens": batch_tokens}
        return ratios(log_probabilities(model, tokenizer, ids, span=(start, end), **options), tokenizer, ids[start:end])
    target = class_of(model, ids, target)
    scores = _logit_changes(model, tokenizer, ids, (start, end), target, batch_tokens)
    if strands == "both" and not model.config.both_strands:
        other, there = tokenizer.reverse_complement(ids), (len(ids) - end, len(ids) - start)
        scores = (scores + _logit_changes(model, tokenizer, other, there, target, batch_tokens)[::-1, ::-1]) / 2
    scores[tokenizer.base_codes[ids[start:end]] == 4] = np.nan
    return scores


def ratios(logp: np.ndarray, tokenizer: NucleotideTokenizer, ids: np.ndarray) -> np.ndarray:
    """Return log p(b) - log p(the base there) of (n, 4) log probabilities; nan where that is not A, C, G or T."""
    return logp - log_of_true(logp, ids, tokenizer)[:, None]


def class_of(model: DNAModel, ids: np.ndarray, target: int | None) -> int:
    """Return the class to explain: `target`, or the one that a classifier predicts for (L,) ids.

    Raises:
        UserError: The model is no classifier, or has no such class.
    """
    config = model.config
    if config.head != "sequence_classification":
        raise UserError(
            f"this model has the head {config.head!r}: there is nothing to explain; give a language model or a "
            "classifier."
        )
    if getattr(config, "classifier", "linear") == "positions":
        raise UserError("this model labels places along a sequence; saliency explains labels of whole sequences.")
    if target is None:
        with evaluating(model) as device:
            return int(model(torch.from_numpy(ids[None].astype(np.int64)).to(device)).argmax())
    if not 0 <= target < config.num_classes:
        raise UserError(f"--target {target}: this model has the classes 0 to {config.num_classes - 1}.")
    return target


def _logit_changes(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    span: tuple[int, int],
    target: int,
    batch_tokens: int,
) -> np.ndarray:
    """Return the change of a logit for each base at each position of the span: (n, 4)."""
    start, end = span
    codes = tokenizer.base_codes[ids]
    changes = np.array([(t, b) for t in range(start, end) if codes[t] < 4 for b in range(4) if b != codes[t]])
    scores = np.zeros((end - start, 4))
    rows = max(1, batch_tokens // len(ids))
    with evaluating(model) as device:

        def logit(batch: np.ndarray) -> np.ndarray:
            values: np.ndarray = model(torch.from_numpy(batch).to(device))[:, target].double().cpu().numpy()
            return values

        reference = logit(ids[None].astype(np.int64))[0]
        for first in range(0, len(changes), rows):
            places, bases = changes[first : first + rows].T
            mutated = np.repeat(ids[None].astype(np.int64), len(places), axis=0)
            mutated[np.arange(len(places)), places] = tokenizer.base_ids[bases]
            scores[places - start, bases] = logit(mutated) - reference
    return scores


def gradient_times_input(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    target: int | None = None,
    position: int | None = None,
    strands: str = "model",
) -> np.ndarray:
    """Return the hypothetical contributions of every base at every position, see the top of this module.

    Args:
        model: A language model or a classifier.
        tokenizer: Its tokenizer.
        ids: (L,) ids.
        target: Class of a classifier; None: the one it predicts.
        position: Of a language model: explain log p of the base here, 0-based; None: the middle.
        strands: "model", or "both": the mean over a sequence and its reverse complement.

    Returns:
        (L, 4) over A, C, G, T, each position's mean 0; nan where the base is not A, C, G or T.

    Raises:
        UserError: The model has another head or no such class, or it does not predict that position.
    """
    if strands not in STRANDS:
        raise unknown_name("strands", strands, STRANDS)
    speaks = model.config.head in LANGUAGE_HEADS
    place = len(ids) // 2 if position is None else position
    if not speaks:
        target = class_of(model, ids, target)
    scores = _contributions(model, tokenizer, ids, target, place if speaks else None)
    if strands == "both" and not model.config.both_strands:
        other = tokenizer.reverse_complement(ids)
        there = _contributions(model, tokenizer, other, target, len(ids) - 1 - place if speaks else None)
        scores = (scores + there[::-1, ::-1]) / 2
    scores -= scores.mean(-1, keepdims=True)
    scores[tokenizer.base_codes[ids] == 4] = np.nan
    return scores


def _contributions(
    model: DNAModel, tokenizer: NucleotideTokenizer, ids: np.ndarray, target: int | None, place: int | None
) -> np.ndarray:
    if place is None:
        return _gradient(model, tokenizer, ids, lambda logits: logits[0, target])
    shown, number_of = _log_p_at(model, tokenizer, ids, place)
    scores = _gradient(model, tokenizer, shown, number_of)
    scores[place] = 0  # a masked base contributes nothing: the model was not shown it
    return scores


def _log_p_at(
    model: DNAModel, tokenizer: NucleotideTokenizer, ids: np.ndarray, place: int
) -> tuple[np.ndarray, Callable[[Tensor], Tensor]]:
    """Return the ids to show a language model, and its log p of the base at `place` as a function of the logits."""
    head = model.config.head
    code = int(tokenizer.base_codes[ids[place]]) if 0 <= place < len(ids) else 4
    read = place - 1 if head == "causal_lm" else place
    if code == 4 or read < 0:
        raise UserError(
            "--position: the model predicts no base there; choose a position within the sequence, with A, C, G or T"
            f"{', not the first of a strand' if head == 'causal_lm' else ''}."
        )
    shown = ids.copy()
    if head == "masked_lm":
        shown[place] = tokenizer.mask_id
    bases = torch.from_numpy(tokenizer.base_ids.astype(np.int64))
    return shown, lambda logits: logits[0, read, bases.to(logits.device)].log_softmax(-1)[code]


def _gradient(
    model: DNAModel, tokenizer: NucleotideTokenizer, ids: np.ndarray, number_of: Callable[[Tensor], Tensor]
) -> np.ndarray:
    """Return d number / d one-hot input: (L, 4) float64.

    The derivative by the embedded rows, times the four bases' embeddings. Where the model runs the other
    strand as a second row, base b at t is there the complement of b at L - 1 - t.
    """
    embedded: list[Tensor] = []

    def keep(module: torch.nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        output = output.detach().requires_grad_()
        embedded.append(output)
        return output

    training = model.training
    model.eval()
    handle = model.embedding.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            number = number_of(model(torch.from_numpy(ids[None].astype(np.int64)).to(model.embedding.weight.device)))
            (rows,) = torch.autograd.grad(number, embedded)
    finally:
        handle.remove()
        model.train(training)
    bases = torch.from_numpy(tokenizer.base_ids.astype(np.int64)).to(rows.device)
    by_base: np.ndarray = (rows @ model.embedding.weight[bases].detach().T).double().cpu().numpy()  # (1 or 2, L, 4)
    return by_base[0] if len(by_base) == 1 else by_base[0] + by_base[1, ::-1, ::-1]
