"""How well a trained model does on held-out sound: what `seqaudio evaluate` does, as functions.

    result = seqaudio.load("runs/audio").evaluate("recordings/")
    result.table(), result.file_table(), result.context_table()

Models of the next sample are measured in bits, models of diffusion by the error of the predicted noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.evaluation.denoising import DenoisingEvaluation, denoising_errors
    from seqaudio.evaluation.generated import GeneratedScores, score_generated
    from seqaudio.evaluation.likelihood import FileBits, score_files
    from seqaudio.evaluation.results import AudioEvaluation
    from seqaudio.evaluation.run import evaluate, evaluate_files

__all__ = [
    "AudioEvaluation",
    "DenoisingEvaluation",
    "FileBits",
    "GeneratedScores",
    "denoising_errors",
    "evaluate",
    "evaluate_files",
    "score_files",
    "score_generated",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "denoising": ["DenoisingEvaluation", "denoising_errors"],
        "generated": ["GeneratedScores", "score_generated"],
        "likelihood": ["FileBits", "score_files"],
        "results": ["AudioEvaluation"],
        "run": ["evaluate", "evaluate_files"],
    },
)
