"""What a genome model says of each base: log p(A, C, G, T) at chosen positions, whatever its objective.

    logp = at_sites(model, tokenizer, windows, places)     # (n, 4): one position in each window
    logp = everywhere(model, tokenizer, ids)               # (L, 4): every position of one sequence

What a position may see is the model's own: all other bases (masked: that position is masked, one forward
row for each; leave-one-out: one pass for all) or the bases before it (causal; the first base has no
prediction: nan). Probabilities are renormalised over A, C, G, T, natural logarithms. A letter that is no base is
shown as the tokenizer reads it: N as N, also to a model whose training showed [PAD] in its place
(`pretrain --masking published`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from seqdna.models.base import DNAModel
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

LANGUAGE_HEADS = ("masked_lm", "causal_lm", "leave_one_out")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Put a model into evaluation mode without gradients; gives its device and puts the mode back."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield next(model.parameters()).device
    finally:
        model.train(training)


def language_head(model: DNAModel) -> str:
    """Return the head of a language model.

    Raises:
        UserError: The model predicts no bases.
    """
    head = model.config.head
    if head not in LANGUAGE_HEADS:
        raise UserError(
            f"this model has the head {head!r} and predicts no bases; give a language model "
            f"({', '.join(LANGUAGE_HEADS)})"
        )
    return head


def at_sites(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    windows: np.ndarray,
    places: np.ndarray,
    *,
    batch_tokens: int = 16384,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Predict one base in each window.

    Args:
        model: A language model.
        tokenizer: Gives the mask and the ids of the bases.
        windows: (n, L) ids.
        places: (n,) position in each window.
        batch_tokens: Ids to run at once.
        progress: Called with the number of windows done.

    Returns:
        (n, 4) float64 natural log probabilities of A, C, G, T; nan where a causal model is asked for position 0.
    """
    head = language_head(model)
    out = np.empty((len(windows), 4))
    rows = max(1, batch_tokens // max(1, windows.shape[1]))
    with evaluating(model) as device:
        for first in range(0, len(windows), rows):
            part = slice(first, min(first + rows, len(windows)))
            ids, here = windows[part].astype(np.int64), places[part].astype(np.int64)
            if head == "masked_lm":
                ids[np.arange(len(ids)), here] = tokenizer.mask_id
            logits = model(torch.from_numpy(ids).to(device))
            read = here - 1 if head == "causal_lm" else here
            chosen = logits[torch.arange(len(ids)), torch.from_numpy(np.maximum(read, 0))]
            out[part] = log_bases(chosen, tokenizer)
            out[part][read < 0] = math.nan
            if progress is not None:
                progress(part.stop)
    return out


def everywhere(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    mask_stride: int | None = None,
    batch_tokens: int = 16384,
) -> np.ndarray:
    """Predict every base of one sequence.

    Args:
        model: A language model.
        tokenizer: Gives the mask and the ids of the bases.
        ids: (L,) ids.
        mask_stride: For masked models: mask every k-th base together, in k passes; None masks one at a time
            (L passes), which is what the model's probabilities are defined by.
        batch_tokens: Ids to run at once.

    Returns:
        (L, 4) float64 natural log probabilities of A, C, G, T; nan at position 0 of a causal model.

    Raises:
        UserError: `mask_stride` is below 1, or the model is no masked one.
    """
    head = language_head(model)
    length = len(ids)
    if mask_stride is not None and head != "masked_lm":
        raise UserError("--mask_stride is for masked language models; this one predicts every base in one pass.")
    if mask_stride is not None and mask_stride < 1:
        raise UserError(f"--mask_stride is {mask_stride}; it must be at least 1.")
    if head == "masked_lm" and mask_stride is None:
        windows = np.broadcast_to(ids, (length, length))
        return at_sites(model, tokenizer, windows, np.arange(length), batch_tokens=batch_tokens)
    out = np.empty((length, 4))
    with evaluating(model) as device:
        if head == "masked_lm":
            assert mask_stride is not None
            rows = max(1, batch_tokens // length)
            for first in range(0, min(mask_stride, length), rows):
                phases = np.arange(first, min(first + rows, mask_stride, length))
                masked = np.repeat(ids[None].astype(np.int64), len(phases), axis=0)
                for row, phase in zip(masked, phases, strict=True):
                    row[phase::mask_stride] = tokenizer.mask_id
                logits = model(torch.from_numpy(masked).to(device))
                for row, phase in zip(logits, phases, strict=True):
                    out[phase::mask_stride] = log_bases(row[phase::mask_stride], tokenizer)
            return out
        logp = log_bases(model(torch.from_numpy(ids[None].astype(np.int64)).to(device))[0], tokenizer)
    if head == "leave_one_out":
        return logp
    out[0], out[1:] = math.nan, logp[:-1]
    return out


def log_bases(logits: Tensor, tokenizer: NucleotideTokenizer) -> np.ndarray:
    """Renormalise logits (..., V) over A, C, G, T: (..., 4) float64 natural log probabilities."""
    bases = torch.from_numpy(tokenizer.base_ids.astype(np.int64)).to(logits.device)
    values: np.ndarray = logits[..., bases].double().log_softmax(-1).cpu().numpy()
    return values


def log_of_true(logp: np.ndarray, ids: np.ndarray, tokenizer: NucleotideTokenizer) -> np.ndarray:
    """Pick the true base's log probability: (..., 4) and ids (...) -> (...); nan where it is not A, C, G or T."""
    codes = tokenizer.base_codes[ids].astype(np.int64)
    picked = np.take_along_axis(logp, np.minimum(codes, 3)[..., None], axis=-1)[..., 0]
    return np.where(codes < 4, picked, math.nan)
