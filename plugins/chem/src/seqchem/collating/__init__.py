"""Collators of the Regression Transformer: pure functions from token ids and a generator to a training batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.collating.batch import RTBatch, SpecialIds, SpecialTokens, attended, mask_positions, pad_rows
    from seqchem.collating.conditional import mask_conditional, mask_entities, mask_plm
    from seqchem.collating.draws import Draws, uniforms
    from seqchem.collating.permutation import Order, permutation_mask
    from seqchem.collating.prefilled import (
        cross_primers,
        mask_prefilled,
        prime,
        read_numbers,
        resampled_weights,
    )
    from seqchem.collating.properties import leading_places, mask_properties
    from seqchem.collating.regions import (
        entity_numbers,
        number_places,
        number_region,
        special_positions,
        text_region,
    )
    from seqchem.collating.spans import draw_spans, published_spans

__all__ = [
    "Draws",
    "Order",
    "RTBatch",
    "SpecialIds",
    "SpecialTokens",
    "attended",
    "cross_primers",
    "draw_spans",
    "entity_numbers",
    "leading_places",
    "mask_conditional",
    "mask_entities",
    "mask_plm",
    "mask_positions",
    "mask_prefilled",
    "mask_properties",
    "number_places",
    "number_region",
    "pad_rows",
    "permutation_mask",
    "prime",
    "published_spans",
    "read_numbers",
    "resampled_weights",
    "special_positions",
    "text_region",
    "uniforms",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "batch": ["RTBatch", "SpecialIds", "SpecialTokens", "attended", "mask_positions", "pad_rows"],
        "conditional": ["mask_conditional", "mask_entities", "mask_plm"],
        "draws": ["Draws", "uniforms"],
        "permutation": ["Order", "permutation_mask"],
        "prefilled": ["cross_primers", "mask_prefilled", "prime", "read_numbers", "resampled_weights"],
        "properties": ["leading_places", "mask_properties"],
        "regions": ["entity_numbers", "number_places", "number_region", "special_positions", "text_region"],
        "spans": ["draw_spans", "published_spans"],
    },
)
