"""The likelihood of a whole window, as DART-Eval scores alleles.

    scorer = WindowScorer(model, tokenizer)
    scorer(pairs)                      # (n, 1, 2 strands): log p(alternative window) - log p(reference window), nats

The log probabilities of all bases are added: each base masked in turn (masked models: 2 W forward rows a variant), each
from all others (leave-one-out models: one pass over each window) or each from those before it (causal models).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqdna.likelihood import at_sites, log_of_true
from seqdna.variants.alleles import Pair
from seqdna.variants.scores import Scorer


class WindowScorer(Scorer):
    """Scores pairs of haplotypes by the sum over every base of their windows; the method is the model's own."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return ("window_score",)

    def _masked(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, 1): each base of both windows masked in turn."""
        totals = np.empty((len(pairs), 2))
        for number, pair in enumerate(pairs):
            for allele, ids in enumerate(pair.ids[strand]):
                windows, places = np.tile(ids, (len(ids), 1)), np.arange(len(ids))
                logp = at_sites(self.model, self.tokenizer, windows, places, batch_tokens=self.batch_tokens)
                totals[number, allele] = np.nansum(log_of_true(logp, ids, self.tokenizer))
        return totals[:, 1:] - totals[:, :1]

    def _one_pass(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, 1): every base of both windows from one pass over each."""
        if self.method == "likelihood":
            return super()._one_pass(pairs, strand)
        totals = np.empty((len(pairs), 2))
        asked = [(number, allele) for number in range(len(pairs)) for allele in (0, 1)]
        for at, ids, logp in self._everywhere(pairs, asked, strand):
            totals[at] = np.nansum(log_of_true(logp, ids, self.tokenizer))
        return totals[:, 1:] - totals[:, :1]
