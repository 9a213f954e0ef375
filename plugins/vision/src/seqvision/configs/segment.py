"""Options of `seqvision segment` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SegmentConfig:
    """Options of `seqvision segment`.

    Args:
        run: A run folder of `seqvision segment-train`, or a model folder.
        images: An image, or a folder of images.
        out: Folder for the masks (<name>.png, with a palette: the pixels are class numbers), overlay.png and areas.csv.
        masks: A folder of true masks with the images' stems: adds the scores.
        ignore: The label of pixels of true masks that are not scored.
        batch_size: Images that run at once.
        device: Where to run: cpu, cuda, ...
        overwrite: Replace files in --out.
        json: Print JSON instead of a table.
    """

    run: str
    images: str
    out: str = "segmented"
    masks: str = ""
    ignore: int = 255
    batch_size: int = 8
    device: str = "cpu"
    overwrite: bool = False
    json: bool = False
