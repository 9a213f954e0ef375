"""From a model and a sequence to a `Saliency`."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdna.likelihood import LANGUAGE_HEADS
from seqdna.models.base import DNAModel
from seqdna.saliency.attribution import (
    STRANDS,
    class_of,
    gradient_times_input,
    log_probabilities,
    mutagenesis,
    ratios,
)
from seqdna.saliency.results import Saliency
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name

METHODS = ("ism", "gradient")


def explain(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    name: str = "sequence",
    offset: int = 0,
    span: tuple[int, int] | None = None,
    method: str = "ism",
    target: int | None = None,
    position: int | None = None,
    mask_stride: int | None = None,
    strands: str = "model",
    batch_tokens: int = 16384,
) -> Saliency:
    """Score every base at every position of a sequence.

    Args:
        model: A language model or a classifier.
        tokenizer: Its tokenizer.
        ids: (L,) ids, flanks included.
        name: Of the record.
        offset: Coordinate of the first id in the record, 0-based.
        span: First position to report and the one behind the last, counted in `ids`; None: all. The rest is
            context.
        method: "ism" or "gradient"; see `seqdna.saliency.attribution`.
        target: Class of a classifier; None: the one it predicts.
        position: Gradient of a language model: explain the base here, counted in `ids`; None: the middle of
            the span.
        mask_stride: Mutagenesis with a masked model: mask every k-th base together; None: one at a time.
        strands: "model", or "both": the mean over a sequence and its reverse complement.
        batch_tokens: Ids to run at once.

    Raises:
        UserError: Unknown method or strands, or the model cannot be explained so.
    """
    speaks = model.config.head in LANGUAGE_HEADS
    _check(model, method=method, strands=strands, target=target, position=position, mask_stride=mask_stride)
    start, end = span = span or (0, len(ids))
    shared: dict[str, Any] = {"strands": strands}
    if not speaks:
        shared["target"] = class_of(model, ids, target)
    probabilities = None
    if method == "gradient":
        shared["position"] = (start + end) // 2 if position is None else position
        scores = gradient_times_input(model, tokenizer, ids, **shared)[start:end]
    elif speaks:
        shared |= {"span": span, "mask_stride": mask_stride, "batch_tokens": batch_tokens}
        logp = log_probabilities(model, tokenizer, ids, **shared)
        scores, probabilities = ratios(logp, tokenizer, ids[start:end]), np.exp(logp)
    else:
        scores = mutagenesis(model, tokenizer, ids, span=span, batch_tokens=batch_tokens, **shared)
    letters = "".join("ACGTN"[code] for code in tokenizer.base_codes[ids[start:end]])
    about = _about(method, shared.get("target"), offset + shared.get("position", 0) + 1)
    return Saliency(name, offset + start, letters, scores, method, about, probabilities)


def _about(method: str, target: int | None, place: int) -> str:
    if method == "gradient":
        return f"gradient of the {f'log p of the base at {place}' if target is None else f'logit of class {target}'}"
    return "log p(base) - log p(the base there)" if target is None else f"change of the logit of class {target}"


def _check(
    model: DNAModel, *, method: str, strands: str, target: int | None, position: int | None, mask_stride: int | None
) -> None:
    """Refuse unknown names, and options that would be without effect."""
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if strands not in STRANDS:
        raise unknown_name("strands", strands, STRANDS)
    speaks = model.config.head in LANGUAGE_HEADS
    if speaks and target is not None:
        raise UserError("--target is the class of a classifier; this is a language model.")
    if position is not None and not (speaks and method == "gradient"):
        raise UserError("--position is for the gradient of a language model's prediction.")
    if mask_stride is not None and not (model.config.head == "masked_lm" and method == "ism"):
        raise UserError("--mask-stride is for mutagenesis with a masked language model.")
    if mask_stride is not None and mask_stride < 1:
        raise UserError(f"--mask-stride is {mask_stride}; it must be at least 1.")
