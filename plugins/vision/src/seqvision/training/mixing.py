"""timm's Mixup and CutMix with random numbers of their own for every batch.

mixing = Mixing.from_config(config, classes=10)
inputs, targets = mixing(inputs, labels, seed=item_seed(seed, 2, position))      # targets (B, classes)
"""

from __future__ import annotations

from dataclasses import dataclass

from timm.data import Mixup
from torch import Tensor

from seqsuite.errors import UserError
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.images_transforms import seeded


@dataclass(frozen=True)
class Mixing:
    """What is mixed, and until when.

    Attributes:
        mixup: timm's.
        until: Share of the run with mixing.
    """

    mixup: Mixup
    until: float

    @classmethod
    def from_config(cls, config: VisionTrainConfig, classes: int) -> Mixing | None:
        """Return what the options say; None where nothing is mixed."""
        if not config.mixes:
            return None
        mixup = Mixup(
            mixup_alpha=config.mixup,
            cutmix_alpha=config.cutmix,
            prob=config.mixup_prob,
            switch_prob=config.mixup_switch_prob,
            mode=config.mixup_mode,
            label_smoothing=config.label_smoothing,
            num_classes=classes,
        )
        return cls(mixup, 1 - config.mixup_off)

    def __call__(self, inputs: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Mix each input with the one at the mirrored place of the batch.

        Args:
            inputs: (B, C, *size), B even; not changed. Frames of a clip are mixed alike.
            labels: (B,).
            seed: 64 bits; what is drawn depends on it alone.

        Returns:
            The inputs and the targets (B, classes).

        Raises:
            UserError: B is odd.
        """
        if len(inputs) % 2:
            raise UserError(
                f"--mixup and --cutmix pair the rows of a batch; a process has {len(inputs)}, an odd number"
            )
        # timm takes the last two axes for height and width, and axes 0 and 1 for batch and channels.
        flat = inputs.flatten(1, -3).clone()
        with seeded(seed):
            mixed, targets = self.mixup(flat, labels)
        return mixed.view_as(inputs), targets
