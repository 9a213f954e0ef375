"""Options of `seqchem pretrain` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass

from seqchem.configs.data import SequenceTrainConfig, demand


@dataclass(frozen=True, kw_only=True)
class RTPretrainConfig(SequenceTrainConfig):
    """Options of `seqchem pretrain`.

    Without --properties the texts are sequences alone; with them, numbers and sequences are masked alike.

    Args:
        mask_probability: Share of the tokens that are masked.
        max_span: Longest span of masked tokens.
        alphabet: Give a new model the whole alphabet of its language, not only the symbols of the training rows.
        augment: Probability that a training row is another SMILES of its molecule, atoms in random order.
    """

    mask_probability: float = 1 / 6
    max_span: int = 5
    alphabet: bool = True
    augment: float = 0.0
    split_sizes: tuple[float, float, float] = (0.95, 0.05, 0.0)
    steps: int = 10_000
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.01
    validate_every: int = 1000
    checkpoint_every: int = 500
    log_every: int = 50
    out: str = "runs/pretrained"

    def __post_init__(self) -> None:
        super().__post_init__()
        demand("mask_probability", self.mask_probability, 0 < self.mask_probability <= 1, "above 0 and at most 1")
        demand("max_span", self.max_span, self.max_span >= 1, "at least 1")
        demand("augment", self.augment, 0 <= self.augment <= 1, "at least 0 and at most 1")
