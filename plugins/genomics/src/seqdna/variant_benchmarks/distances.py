"""Distances between the features of two haplotypes, as the suites define them.

    scorer = DistanceScorer(model, tokenizer)
    scorer.measures; scorer(pairs)              # (n, measures, 2 strands) float64

cosine_at_variant                    BEND: of the features at the variant's first base
cosine_of_means                      DART-Eval: of the means over positions
cosine_distance, euclidean_distance,
inner_product                        TraitGym: of all positions and channels as one vector; causal models: of the last
                                     position
inner_product_0, ...                 TraitGym's features for probing, one a channel, summed over the same positions

A cosine distance is 1 - cos; nan where a vector is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from seqdna.likelihood import evaluating
from seqdna.models.base import DNAModel
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants.alleles import Pair
from seqdna.variants.scores import Scorer

DISTANCES = ("cosine_at_variant", "cosine_of_means", "cosine_distance", "euclidean_distance", "inner_product")


class DistanceScorer(Scorer):
    """Scores pairs of haplotypes by features; both windows must be aligned base by base (substitutions).

    Args:
        model: A genome model.
        tokenizer: Its tokenizer.
        batch_tokens: Ids to run at once.
        channels: Give an inner product for every channel too, both strands run whatever the model.
    """

    def __init__(
        self, model: DNAModel, tokenizer: NucleotideTokenizer, *, batch_tokens: int = 16384, channels: bool = False
    ) -> None:
        super().__init__(
            model, tokenizer, "embedding", batch_tokens=batch_tokens, both_strands=True if channels else None
        )
        self.channels = channels
        self.last_only = model.config.head == "causal_lm"

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what is measured."""
        if not self.channels:
            return DISTANCES
        width = self.model.config.d_model * (2 if self.model.config.both_strands else 1)
        return DISTANCES + tuple(f"inner_product_{channel}" for channel in range(width))

    def _embedding(self, pairs: Sequence[Pair], strand: int) -> np.ndarray:
        """Return (n, measures)."""
        out = np.empty((len(pairs), len(self.measures)))
        rows = max(1, self._rows(pairs) // 2)
        with evaluating(self.model) as device:
            for first in range(0, len(pairs), rows):
                part = pairs[first : first + rows]
                ids = np.concatenate([pair.ids[strand] for pair in part]).astype(np.int64)  # (2n, W)
                features = self.model.forward_features(torch.from_numpy(ids).to(device)).double().cpu().numpy()
                both = features.reshape(len(part), 2, *features.shape[1:])  # (n, 2, W, C)
                for row, pair, each in zip(out[first:], part, both, strict=False):
                    row[:] = self._compare_features(each, pair.place(strand, pair.first[0]))
        return out

    def _compare_features(self, both: np.ndarray, place: int) -> list[float]:
        """Return the measures of one pair's features (2, W, C)."""
        judged = both[:, -1:] if self.last_only else both
        one, other = judged.reshape(2, -1)
        means = both.mean(1)
        values = [
            cosine_distance(*both[:, place]),
            cosine_distance(*means),
            cosine_distance(one, other),
            float(np.linalg.norm(one - other)),
            float(one @ other),
        ]
        return values + ((judged[0] * judged[1]).sum(0).tolist() if self.channels else [])


def cosine_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return 1 - cos of the angle between two vectors; nan where one is zero."""
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    return float(1 - one @ other / scale) if scale else float("nan")
