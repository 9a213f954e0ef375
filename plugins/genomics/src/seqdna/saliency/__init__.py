"""Which bases matter to a model, and which known motifs lie there.

from seqdna.saliency import explain, read_motifs
result = explain(model, tokenizer, "ACGT...", method="ism")
result = result.with_hits(read_motifs("jaspar2024_core.jaspar.gz", name="CTCF*"))
result.table(); result.figure()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.saliency.attribution import gradient_times_input, mutagenesis
    from seqdna.saliency.explain import explain
    from seqdna.saliency.figure import figure_of
    from seqdna.saliency.motifs import Hit, Motif, read_motifs, scan
    from seqdna.saliency.results import Saliency

__all__ = [
    "Hit",
    "Motif",
    "Saliency",
    "explain",
    "figure_of",
    "gradient_times_input",
    "mutagenesis",
    "read_motifs",
    "scan",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "attribution": ["gradient_times_input", "mutagenesis"],
        "explain": ["explain"],
        "figure": ["figure_of"],
        "motifs": ["Hit", "Motif", "read_motifs", "scan"],
        "results": ["Saliency"],
    },
)
