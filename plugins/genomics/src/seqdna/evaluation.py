"""How well a masked model predicts held-out bases, one position at a time.

Each measured base is masked alone, everything else in its window visible: the task of the two-sided
count models, so that the bits are comparable. The bases are a fixed random subset of the held-out
block; its Monte-Carlo error is the standard error of the mean over them. Probabilities are
renormalised over A, C, G, T (4 of the 16 logits).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from seqdna.data import EvalSites
from seqdna.tokenizers import NucleotideTokenizer


@dataclass(frozen=True)
class SiteScores:
    """Bits of a model at evaluation sites.

    Attributes:
        bits: -log2 of the probability of the true base at each site: (n,) float64.
    """

    bits: np.ndarray = field(repr=False)

    @property
    def mean(self) -> float:
        """Bits per base."""
        return float(self.bits.mean())

    @property
    def standard_error(self) -> float:
        """Monte-Carlo error of `mean`: what another random subset of the block would change."""
        return standard_error(self.bits)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of (n,) values; nan for a single one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


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


def score_sites(
    model: nn.Module,
    sites: EvalSites,
    tokenizer: NucleotideTokenizer,
    *,
    batch_tokens: int = 16384,
    progress: Callable[[int], None] | None = None,
) -> SiteScores:
    """Measure a masked model at sites, one masked base a window.

    Args:
        model: (B, L) ids -> (B, L, V) logits.
        sites: Which bases, and their windows.
        tokenizer: Gives the mask and the ids of the bases.
        batch_tokens: Ids to run at once.
        progress: Called with the number of sites done.

    Returns:
        The bits at each site.
    """
    rows = max(1, batch_tokens // sites.length)
    bases = torch.from_numpy(tokenizer.base_ids.astype(np.int64))
    bits = np.empty(len(sites))
    codes = tokenizer.base_codes[sites.target].astype(np.int64)
    with evaluating(model) as device:
        for first in range(0, len(sites), rows):
            part = slice(first, min(first + rows, len(sites)))
            ids = sites.windows(part).astype(np.int64)
            place = sites.offset[part]
            ids[np.arange(len(ids)), place] = tokenizer.mask_id
            logits = model(torch.from_numpy(ids).to(device))
            at_site = logits[torch.arange(len(ids)), torch.from_numpy(place)][:, bases.to(logits.device)]
            bits[part] = _bits(at_site, torch.from_numpy(codes[part]))
            if progress is not None:
                progress(part.stop)
    return SiteScores(bits)


def _bits(logits: Tensor, codes: Tensor) -> np.ndarray:
    """Return -log2 p of the true base: (n, 4) logits and (n,) codes 0..3 -> (n,)."""
    log_p = logits.double().log_softmax(-1).cpu()
    return (-log_p.gather(1, codes[:, None])[:, 0] / math.log(2)).numpy()
