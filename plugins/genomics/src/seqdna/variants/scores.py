"""How much a model prefers the alternative haplotype: the scores of `seqdna score-variants`.

    scorer = Scorer(model, tokenizer, method="auto")
    scorer.measures                     # ("score",), or ("l2", "cosine", "max") for embeddings
    scorer(pairs)                       # (n, measures, 2 strands) float64

Likelihood scores are log p(alternative) - log p(reference) in nats: positive means that the alternative is more
likely. Probabilities are renormalised over A, C, G, T. The methods:

masked         SNV: both bases at the masked position, everything else visible. Otherwise the pseudo-log-likelihood
               of the changed span (`Pair.span`), each base masked in turn within its own haplotype.
leave_one_out  the same quantities from one pass over each haplotype.
likelihood     the log-likelihood of the whole alternative window minus that of the reference window (causal models;
               the first base of a window has no prediction).
embedding      distance between the haplotypes' features: `l2` and `cosine` of their means, and `max`, the largest
               L2 distance at one position of the two aligned haplotypes. Not signed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from seqdna.likelihood import at_sites, evaluating, log_bases, log_of_true
from seqdna.models.base import DNAModel
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants.alleles import Pair
from seqsuite.errors import UserError, unknown_name

METHODS = ("auto", "masked", "likelihood", "embedding", "leave_one_out")
OF_HEAD = {"masked_lm": "masked", "causal_lm": "likelihood", "leave_one_out": "leave_one_out"}
Reduce = Literal["sum", "mean"]


def resolve_method(model: DNAModel, method: str) -> str:
    """Return the method that "auto" means for a model, or the one asked for if the model can do it.

    Raises:
        UserError: Unknown, or not for this model.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    own = OF_HEAD.get(model.config.head, "embedding")
    if method == "auto":
        return own
    if method not in (own, "embedding"):
        fits = f"{own} or embedding" if own != "embedding" else own
        raise UserError(f"--method {method} is not for a model with the head {model.config.head!r}; use {fits}.")
    return method


class Scorer:
    """Scores pairs of haplotypes.

    An RC-equivariant model gives both strands the same score by construction, so only one is run unless
    `both_strands` asks for the other as well.

    Args:
        model: A genome model.
        tokenizer: Its tokenizer.
        method: One of `METHODS`.
        reduce: "sum" over the judged bases, or their "mean".
        span_flank: Bases judged on either side of an insertion or deletion (masked, leave_one_out).
        batch_tokens: Ids to run at once.
        both_strands: Run both strands whatever the model; None: those that can differ.
    """

    def __init__(
        self,
        model: DNAModel,
        tokenizer: NucleotideTokenizer,
        method: str = "auto",
        *,
        reduce: Reduce = "sum",
        span_flank: int = 2,
        batch_tokens: int = 16384,
        both_strands: bool | None = None,
    ) -> None:
        if reduce not in ("sum", "mean"):
            raise unknown_name("reduce", reduce, ("sum", "mean"))
        self.model, self.tokenizer = model, tokenizer
        self.method = resolve_method(model, method)
        self.reduce, self.span_flank, self.batch_tokens = reduce, span_flank, batch_tokens
        both = not model.config.both_strands if both_strands is None else both_strands
        self.strands = (0, 1) if both else (0,)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return ("l2", "cosine", "max") if self.method == "embedding" else ("score",)

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Score pairs of one window length.

        The batches depend on `pairs` alone, so that equal calls give equal bits.

        Returns:
            (n, measures, 2) float64: given strand, other strand.
        """
        out = np.empty((len(pairs), len(self.measures), 2))
        if not pairs:
            return out
        run = {
            "masked": self._masked,
            "leave_one_out": self._one_pass,
            "likelihood": self._one_pass,
            "embedding": self._embedding,
        }[self.method]
        for strand in self.strands:
            out[:, :, strand] = run(pairs, strand)
        if len(self.strands) == 1:
            out[:, :, 1] = out[:, :, 0]
        return out

    def _rows(self, pairs: Sequence[Pair]) -> int:
        return max(1, self.batch_tokens // pairs[0].ids.shape[-1])

    def _masked(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, 1) scores: one forward row for each judged base."""
        asked = [(i, allele, place) for i, pair in enumerate(pairs) for allele, place in self._judged(pair)]
        logp = np.empty((len(asked), 4))
        for first in range(0, len(asked), self._rows(pairs)):
            part = asked[first : first + self._rows(pairs)]
            windows = np.stack([pairs[i].ids[strand, allele] for i, allele, _ in part])
            places = np.array([pairs[i].place(strand, place) for i, _, place in part])
            logp[first : first + len(part)] = at_sites(
                self.model, self.tokenizer, windows, places, batch_tokens=self.batch_tokens
            )
        found: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in pairs]
        for (i, allele, place), row in zip(asked, logp, strict=True):
            found[i][allele, place] = row
        return np.array([[self._compare(pair, strand, rows)] for pair, rows in zip(pairs, found, strict=True)])

    def _judged(self, pair: Pair) -> list[tuple[int, int]]:
        """Return (allele, place) of the bases whose probabilities a pair needs, given strand."""
        if pair.kind == "snv":
            return [(0, pair.first[0])]
        spans = (pair.span(allele, self.span_flank) for allele in (0, 1))
        return [(allele, place) for allele, span in enumerate(spans) for place in range(*span)]

    def _compare(self, pair: Pair, strand: int, rows: dict[tuple[int, int], np.ndarray]) -> float:
        """Return alternative minus reference from the log probabilities (4,) of the judged bases."""
        codes = self.tokenizer.base_codes[pair.ids[strand]]  # (2, W)
        if pair.kind == "snv":
            ((_, place),) = rows
            (row,) = rows.values()
            here = pair.place(strand, place)
            return float(row[codes[1, here]] - row[codes[0, here]])
        terms: tuple[list[float], list[float]] = ([], [])
        for (allele, place), row in rows.items():
            code = codes[allele, pair.place(strand, place)]
            if code < 4:
                terms[allele].append(float(row[code]))
        return self._total(terms[1]) - self._total(terms[0])

    def _total(self, terms: Sequence[float] | np.ndarray) -> float:
        if not len(terms):
            return math.nan
        return math.fsum(terms) / (len(terms) if self.reduce == "mean" else 1)

    def _one_pass(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, 1) scores: one forward row for each haplotype, for SNVs of leave-one-out models one in all."""
        asked = [
            (i, allele)
            for i, pair in enumerate(pairs)
            for allele in ((0,) if self.method == "leave_one_out" and pair.kind == "snv" else (0, 1))
        ]
        found: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in pairs]
        totals = np.full((len(pairs), 2), math.nan)
        for (i, allele), ids, logp in self._everywhere(pairs, asked, strand):
            if self.method == "likelihood":
                judged = log_of_true(logp[:-1], ids[1:], self.tokenizer)
                totals[i, allele] = self._total(judged[~np.isnan(judged)])
                continue
            for which, place in self._judged(pairs[i]):
                if which == allele:
                    found[i][which, place] = logp[pairs[i].place(strand, place)]
        if self.method == "likelihood":
            return totals[:, 1:] - totals[:, :1]
        return np.array([[self._compare(pair, strand, rows)] for pair, rows in zip(pairs, found, strict=True)])

    def _everywhere(
        self, pairs: Sequence[Pair], asked: Sequence[tuple[int, int]], strand: int
    ) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
        """Yield (pair, allele), its window's ids (W,) and the log probabilities (W, 4) read off at each position."""
        with evaluating(self.model) as device:
            for first in range(0, len(asked), self._rows(pairs)):
                part = asked[first : first + self._rows(pairs)]
                windows = np.stack([pairs[i].ids[strand, allele] for i, allele in part])
                logits = self.model(torch.from_numpy(windows.astype(np.int64)).to(device))
                yield from zip(part, windows, log_bases(logits, self.tokenizer), strict=True)

    def _embedding(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, 3) distances."""
        out = np.empty((len(pairs), 3))
        rows = max(1, self._rows(pairs) // 2)
        with evaluating(self.model) as device:
            for first in range(0, len(pairs), rows):
                part = pairs[first : first + rows]
                ids = np.concatenate([pair.ids[strand] for pair in part]).astype(np.int64)
                features = self.model.forward_features(torch.from_numpy(ids).to(device))  # (2n, W, C)
                pooled = self.model.pool(features, pooling="mean").double().cpu().numpy().reshape(len(part), 2, -1)
                places = features.double().cpu().numpy().reshape(len(part), 2, *features.shape[1:])
                for row, pair, mean, each in zip(out[first:], part, pooled, places, strict=False):
                    row[:] = _l2(mean[0] - mean[1]), _cosine(*mean), _largest(pair, strand, each)
        return out


def _l2(difference: np.ndarray) -> float:
    return float(np.linalg.norm(difference))


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    return float(1 - one @ other / scale) if scale else math.nan


def _largest(pair: Pair, strand: int, features: np.ndarray) -> float:
    """Return the largest L2 distance at one position of the aligned windows, (2, W, C).

    Flanks are aligned base by base, alleles of equal length too; bases that only one haplotype has are left out.
    """
    width = features.shape[1]
    (first, other), (size, other_size) = pair.first, pair.size
    before = min(first, other)
    after = min(width - first - size, width - other - other_size)
    mine = np.r_[first - before : first, first + size : first + size + after]
    theirs = np.r_[other - before : other, other + other_size : other + other_size + after]
    if size == other_size:
        mine = np.r_[mine, first : first + size]
        theirs = np.r_[theirs, other : other + size]
    if strand:
        mine, theirs = width - 1 - mine, width - 1 - theirs
    return float(np.linalg.norm(features[0, mine] - features[1, theirs], axis=-1).max(initial=0.0))
