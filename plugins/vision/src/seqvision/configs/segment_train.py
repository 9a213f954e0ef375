"""Options of `seqvision segment-train` (torch-free); the docstring is the help."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError, unknown_name
from seqsuite.training.configs import TrainConfig

CLASS_WEIGHTS = ("none", "enet")


@dataclass(frozen=True, kw_only=True)
class SegmentTrainConfig(TrainConfig):
    """Options of `seqvision segment-train`.

    Args:
        source: A folder with images/ and masks/, a .npz file with x and mask, or a composed set: composed_digits,
            composed_garments (real objects pasted over real photographs).
        masks: The folder of the masks, where the source is a folder of images.
        classes: Names of the labels 0, 1, ...; empty: numbers, as many as the masks have.
        ignore: The label of pixels that are neither learned nor scored.
        model: Name of a model with an output for every pixel: dense_debug, dense_vit_debug, dense_mamba_nd_small.
        model_options: Fields of its config to change, such as --model_options.backbone simba_small.
        size: Height and width of what the model sees, multiples of its patch unless --model_options.padding is pad;
            images are resized.
        flip: Mirror half of the training images.
        crop: Smallest share of an image's sides that a training crop keeps; 1: no crops.
        dice: Weight of the soft Dice loss (Milletari et al. 2016) beside the cross entropy; each class of a batch
            counts alike in it, however few its pixels are. 0: none.
        class_weights: Weights of the classes in the cross entropy: none, or enet (Paszke et al. 2016): 1 / ln(1.02 +
            the class's share of the training pixels).
        valid_fraction: Share for validation, where the source marks no splits.
        test_fraction: Share for the test, likewise.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    masks: str = ""
    classes: tuple[str, ...] = ()
    ignore: int = 255
    model: str = "dense_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (64, 64)
    flip: bool = False
    crop: float = 1.0
    dice: float = 0.0
    class_weights: Literal["none", "enet"] = "none"
    valid_fraction: float = 0.15
    test_fraction: float = 0.15
    steps: int = 1000
    lr: float = 3e-3
    weight_decay: float = 0.05
    json: bool = False
    out: str = "runs/segment"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {"json", "source", "masks"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.crop <= 1:
            raise UserError(f"--crop is {self.crop}; it must lie above 0 and not above 1.")
        if not 0 <= self.dice < math.inf:
            raise UserError(f"--dice is {self.dice}; it must be at least 0.")
        if self.class_weights not in CLASS_WEIGHTS:
            raise unknown_name("--class_weights", self.class_weights, CLASS_WEIGHTS)
        if min(self.size) < 1:
            raise UserError(f"--size is {self.size}; both sides must be at least 1.")
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if self.valid_fraction + self.test_fraction >= 1:
            shares = f"--valid_fraction {self.valid_fraction} and --test_fraction {self.test_fraction}"
            raise UserError(f"{shares} leave nothing to train on.")
        repeated = [name for name in self.classes if self.classes.count(name) > 1]
        if repeated:
            raise UserError(f"--classes names {repeated[0]!r} twice.")
        taken = [name for name in ("size", "num_classes", "class_names", "in_chans") if name in self.model_options]
        if taken:
            raise UserError(f"--model_options.{taken[0]} follows from the data and the flags; leave it out.")
