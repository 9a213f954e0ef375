"""Labelled data of either task, for training or as a trained model wants them."""

from __future__ import annotations

from seqvision.configs.models import ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import Labelled


def open_labelled(config: VisionTrainConfig, fixed: ImageModelConfig | None = None) -> Labelled:
    """Read the images or clips that the options name.

    Args:
        config: The options of `seqvision train`.
        fixed: Of a trained model: inputs and labels are made as it wants them.

    Raises:
        UserError: The source, an input, a label, or an option that does not fit them.
    """
    if config.task == "image":
        from seqvision.data.images import open_images

        return open_images(config, fixed)
    from seqvision.data.video import open_clips
    from seqvision.data.video_scoring import model_view

    if fixed is None:
        return open_clips(config)
    return open_clips(config, classes=fixed.classes, view=model_view(fixed))
