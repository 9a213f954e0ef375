"""New sequence from a model: continuing a prompt (causal models), or filling marked bases (models that see both sides).

    from seqdna.generation import Sampling, continue_prompts, infill
    continue_prompts(model, tokenizer, {"p": "ACGT"}, length=100, n=3, sampling=Sampling(top_p=0.9), seed=1)
    infill(model, tokenizer, {"p": "ACGT____ACGT"}, n=3, seed=1)

Only A, C, G and T are written: the probabilities of all other tokens are dropped and the rest renormalised.
Every sequence has its own random generator, seeded by (seed, prompt, sample): neither the batch nor the
number of samples changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.generation.causal import continue_prompts, has_recurrent_form
    from seqdna.generation.infill import infill
    from seqdna.generation.results import Generated
    from seqdna.generation.sampling import Sampling

__all__ = ["Generated", "Sampling", "continue_prompts", "has_recurrent_form", "infill"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "causal": ["continue_prompts", "has_recurrent_form"],
        "infill": ["infill"],
        "results": ["Generated"],
        "sampling": ["Sampling"],
    },
)
