"""What a fine-tuned model's outputs mean: problem, classes, scale; written beside the model as head.json.

A probe's regression on the embeddings is part of it (probe.safetensors), the model itself is then unchanged.
Nothing here imports torch at module level.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqdna.finetuning.labelled import PROBLEMS, LabelledSet, Problem
from seqsuite.errors import UserError

FILE, PROBE = "head.json", "probe.safetensors"


@dataclass(frozen=True)
class Head:
    """What the outputs of a model mean.

    Attributes:
        problem: What was asked.
        classes: Names of the classes, of the labels, or of the numbers.
        crop: Longer sequences are cut to this many bases in the middle; 0 for none.
        mean: Of the training targets, column by column; a regression's outputs are in units of `scale` around it.
        scale: Their standard deviation.
        pooling: Of a probe: how positions were pooled, one after the other.
        conjoin: Of a probe: vectors of both strands are averaged.
        weight: Of a probe: (K, D) coefficients on the embedding, else None.
        bias: Of a probe: (K,), else None.
        bases_per_label: Of labels along the sequences: how many bases one stands for; 0: one label a sequence.
    """

    problem: Problem
    classes: tuple[str, ...]
    crop: int = 0
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    pooling: tuple[str, ...] = ()
    conjoin: bool = False
    weight: np.ndarray | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    bases_per_label: int = 0

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a sequence."""
        return len(self.classes)

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs (n, K) into probabilities of classes, of labels, or into numbers: (n, K) float64."""
        values = outputs.astype(np.float64)
        if self.problem == "classification":
            values = np.exp(values - values.max(1, keepdims=True))
            return values / values.sum(1, keepdims=True)
        if self.problem == "multi_label":
            return 1 / (1 + np.exp(-values))
        return values * np.array(self.scale or (1.0,)) + np.array(self.mean or (0.0,))

    def said(self, scores: np.ndarray) -> list[str]:
        """Say in words what was predicted, row by row: the class, the labels above one half, or the numbers."""
        if self.problem == "classification":
            return [self.classes[k] for k in scores.argmax(1)]
        if self.problem == "multi_label":
            return [";".join(name for name, on in zip(self.classes, row > 0.5, strict=True) if on) for row in scores]
        return [";".join(f"{value:.6g}" for value in row) for row in scores]

    def truth(self, targets: np.ndarray) -> list[str]:
        """Say in words what the targets are, as `said`."""
        if self.problem == "classification":
            return [self.classes[k] for k in targets]
        return self.said(targets)

    def save(self, folder: Path) -> None:
        """Write head.json, and probe.safetensors where there is one, into a folder."""
        values = {key: value for key, value in asdict(self).items() if key not in ("weight", "bias")}
        (folder / FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        if self.weight is not None and self.bias is not None:
            from safetensors.numpy import save_file

            save_file({"weight": np.ascontiguousarray(self.weight), "bias": self.bias}, folder / PROBE)


def scaled(data: LabelledSet, *, crop: int = 0) -> Head:
    """Return the head of a training set: a regression's numbers are centred and scaled by its rows."""
    if data.problem != "regression":
        return Head(data.problem, data.classes, crop, bases_per_label=data.bases_per_label)
    mean, scale = data.targets.mean(0, dtype=np.float64), data.targets.std(0, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)
    return Head(data.problem, data.classes, crop, tuple(mean.tolist()), tuple(scale.tolist()))


def load_head(folder: str | Path) -> Head:
    """Read what `Head.save` wrote.

    Args:
        folder: A model folder, or a run folder that holds one.

    Raises:
        UserError: There is none, or it is damaged.
    """
    path = Path(folder).expanduser()
    path = path / "model" if (path / "model" / FILE).is_file() else path
    if not (path / FILE).is_file():
        raise UserError(f"{folder}: holds no {FILE}; give a run folder of `seqdna finetune`.")
    try:
        values: dict[str, Any] = json.loads((path / FILE).read_text(encoding="utf-8"))
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        head = Head(**values)
        if head.problem not in PROBLEMS or not all(isinstance(name, str) for name in head.classes):
            raise ValueError("it names no problem")
        if not head.pooling:
            return head
        from safetensors.numpy import load_file

        probe = load_file(path / PROBE)
        return Head(**{**values, "weight": probe["weight"], "bias": probe["bias"]})
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise UserError(f"{path / FILE} is damaged: {' '.join(str(error).split())}") from error
    except Exception as error:  # safetensors' own error class is no ValueError
        if type(error).__name__ != "SafetensorError":
            raise
        raise UserError(f"{path / PROBE} is damaged: {error}") from error
