"""Options of `seqvision train` (torch-free); the docstring is the help."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError, unknown_name
from seqsuite.training.configs import TrainConfig
from seqvision.configs.models import INTERPOLATIONS

_SHARES = ("valid_fraction", "test_fraction", "label_smoothing", "mixup_off")
_CHANCES = ("vflip", "reprob", "mixup_prob", "mixup_switch_prob")
_AT_LEAST_0 = ("epochs", "color_jitter", "mixup", "cutmix", "warmup_lr", "pad", "momentum", "frame_rate")
_WHOLE = {"recount": 1, "frames": 1, "frame_stride": 1, "views": 1, "crops": 1}


@dataclass(frozen=True, kw_only=True)
class VisionTrainConfig(TrainConfig):
    """Options of `seqvision train`.

    Transforms, Mixup, averaged weights, optimisers and schedules are timm's. What is drawn for an input depends on the
    seed and its place in the run alone. --lr, --weight_decay and --betas go to the optimiser that --opt names.

    Args:
        source: Labelled images: a folder of one folder a class (perhaps within train, val and test); a folder of idx
            files with MNIST's names; an .npz file; a .parquet file or a folder of them; digits (scikit-learn's 8 x 8
            digits); fashion_mnist (of Debian, dataset-fashion-mnist). With --task video: a folder of one folder of
            videos a class; a .csv manifest (file, label and perhaps split, start, seconds); an .npz file with frames
            and label; motion_fashion, motion_digits (synthetic motion of these pictures) or motion (of the first that
            is installed).
        task: Whether the inputs are images or clips.
        model: A name of timm's, its own or ours (test_mamba_nd, mamba_nd_small_patch8_224, simba_small, resnet18).
        model_options: Further arguments of timm.create_model, such as --model_options.drop_path_rate 0.1. Sizes that
            the patches do not divide are refused; --model_options.pad_input true has Mamba-ND fill them up.
        pretrained_from: Weights to begin from: a run or model folder, a folder in timm's layout, or a file of weights.
            The head is new where the number of classes differs.
        img_size: Height and width of the inputs, such as 48,64; one number for a square; 0: that of the images where
            they are small and of one size, else the model's.
        in_chans: Channels of the inputs; 0: 1 where all images are grey, else 3.
        norm: What inputs are normalised with: the mean and deviation of the training images (data), those of the
            model (model), or auto: the model's where --pretrained_from is given, else the data's.
        interpolation: How images are resized: nearest, bilinear, bicubic, box, hamming or lanczos; empty: as the model
            says.
        crop_pct: Share of the resized image that the centre crop keeps in evaluation; 0: 1 where images already have
            the size, else as the model says.
        valid_fraction: Share of the training inputs that choose the weights, where the source marks none.
        test_fraction: Share for the test where the source marks none.
        image_column: Of .parquet files.
        label_column: Of .parquet files.
        on_error: Whether an input that cannot be read ends the command, or is skipped and listed.
        augment: timm: random resized crops; small: crops of the padded image, for small images; none; auto: small up
            to 64 pixels, else timm.
        pad: Pixels around the image in front of a small crop.
        scale: Least and greatest share of the area that a timm crop takes.
        ratio: Least and greatest aspect ratio of a timm crop.
        hflip: Chance of a mirror image; by default 0.5 of images and 0 of clips. Give 0 for digits and letters.
        vflip: Chance of an image upside down.
        color_jitter: Change of brightness, contrast and saturation where --aa is empty.
        aa: timm's automatic augmentation, such as rand-m9-mstd0.5-inc1; empty: none.
        reprob: Chance that a rectangle is erased.
        remode: What is put there: const (zeros), rand (one colour) or pixel (noise).
        recount: Most rectangles.
        mixup: Alpha of Mixup; 0: none.
        cutmix: Alpha of CutMix; 0: none.
        mixup_prob: Chance that a batch, pair or input is mixed.
        mixup_switch_prob: Chance of CutMix where both are on.
        mixup_mode: Whether one mixture is drawn for a batch, a pair or each input.
        mixup_off: Share of the run, at its end, without mixing.
        label_smoothing: Share of each label that is spread over all classes.
        ema: Average the weights; validation, test and export take the average.
        ema_decay: Rate of the average.
        ema_warmup: Begin the average with a lower rate.
        opt: An optimiser of timm's: adamw, sgd, lamb, lion, ...
        momentum: Of optimisers that have one.
        opt_options: Further arguments of the optimiser.
        layer_decay: Factor of the learning rate from layer to layer towards the input, up to 1; 0: none.
        sched: A schedule of timm's: cosine, tanh, poly, step, multistep, wsd, rsqrt, constant or none.
        warmup_lr: Learning rate at the start of the warm-up.
        sched_options: Further arguments of timm's create_scheduler_v2; its epochs are steps here.
        epochs: Passes over the training inputs, where --steps is 0.
        export: Whether the best validation's weights or the last ones go to the model folder and the test.
        frames: Frames of a clip.
        frame_stride: Frames of the video from one frame of the clip to the next.
        frame_rate: Frames a second to sample videos at; 0: the frames of the file.
        sampling: dense: a clip is a stretch; sparse: one frame of each of as many pieces of the video.
        short: What a video shorter than a clip does: hold its last frame, loop, or end the command (error).
        views: Clips of each video, spread over it, whose probabilities are averaged in evaluation.
        crops: Crops of each of them along the longer side, averaged as well.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    task: Literal["image", "video"] = "image"
    model: str = "test_mamba_nd"
    model_options: dict[str, Any] = field(default_factory=dict)
    pretrained_from: str = ""
    img_size: int | tuple[int, int] = 0
    in_chans: int = 0
    norm: Literal["auto", "data", "model"] = "auto"
    interpolation: str = ""
    crop_pct: float = 0.0
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    image_column: str = "image"
    label_column: str = "label"
    on_error: Literal["raise", "skip"] = "raise"
    augment: Literal["auto", "timm", "small", "none"] = "auto"
    pad: int = 2
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    hflip: float | None = None
    vflip: float = 0.0
    color_jitter: float = 0.4
    aa: str = ""
    reprob: float = 0.0
    remode: Literal["const", "rand", "pixel"] = "pixel"
    recount: int = 1
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    mixup_mode: Literal["batch", "pair", "elem"] = "batch"
    mixup_off: float = 0.0
    label_smoothing: float = 0.1
    ema: bool = False
    ema_decay: float = 0.9998
    ema_warmup: bool = True
    opt: str = "adamw"
    momentum: float = 0.9
    opt_options: dict[str, Any] = field(default_factory=dict)
    layer_decay: float = 0.0
    sched: str = "cosine"
    warmup_lr: float = 1e-6
    sched_options: dict[str, Any] = field(default_factory=dict)
    epochs: float = 10.0
    export: Literal["best", "last"] = "best"
    frames: int = 16
    frame_stride: int = 2
    frame_rate: float = 0.0
    sampling: Literal["dense", "sparse"] = "dense"
    short: Literal["hold", "loop", "error"] = "hold"
    views: int = 1
    crops: int = 1
    steps: int = 0
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: float = 0.05
    json: bool = False
    out: str = "runs/vision"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {"json", "source", "export"}

    def __post_init__(self) -> None:
        if not self.steps:
            _demand("epochs", self.epochs, self.epochs > 0, "above 0 where --steps is 0")
            dataclasses.replace(self, steps=1)  # 0 stands for --epochs; everything else is checked on a twin
            return
        super().__post_init__()
        for name in _SHARES:
            _demand(name, getattr(self, name), 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in _CHANCES:
            _demand(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")
        for name in _AT_LEAST_0:
            _demand(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "at least 0")
        for name, least in _WHOLE.items():
            _demand(name, getattr(self, name), getattr(self, name) >= least, f"at least {least}")
        _demand("hflip", self.hflip, self.hflip is None or 0 <= self.hflip <= 1, "between 0 and 1")
        sizes = self.img_size if isinstance(self.img_size, tuple) else (self.img_size,)
        _demand("img_size", self.img_size, min(sizes) >= 0 and max(sizes) < 1e5, "at least 0")
        _demand("in_chans", self.in_chans, self.in_chans >= 0, "at least 0")
        _demand("crop_pct", self.crop_pct, 0 <= self.crop_pct <= 1, "between 0 and 1")
        _demand("ema_decay", self.ema_decay, 0 < self.ema_decay < 1, "above 0 and below 1")
        _demand("layer_decay", self.layer_decay, 0 <= self.layer_decay <= 1, "between 0 and 1")
        for name in ("scale", "ratio"):
            pair = getattr(self, name)
            _demand(name, pair, 0 < pair[0] <= pair[1] < math.inf, "two numbers above 0, the least first")
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse options that do not fit together, and names that do not exist."""
        if self.interpolation and self.interpolation not in INTERPOLATIONS:
            raise unknown_name("--interpolation", self.interpolation, INTERPOLATIONS)
        if self.valid_fraction + self.test_fraction >= 1:
            raise UserError("--valid_fraction and --test_fraction must be below 1 together")
        if self.mixes and self.batch_size // self.accumulate % 2:
            raise UserError(
                f"--mixup and --cutmix pair the rows of a batch: --batch_size {self.batch_size} divided by "
                f"--accumulate {self.accumulate} must be even"
            )
        if self.ema and self.precision == "bf16-true":
            raise UserError("--ema needs weights in float32: use --precision bf16-mixed")
        if self.decay != "matrices":
            raise UserError("--decay has no effect here: timm decays all but biases, norms and what the model exempts")

    @property
    def mixes(self) -> bool:
        """Whether inputs are mixed."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mixup_prob > 0


def _demand(name: str, value: object, holds: bool, what: str) -> None:
    if not holds:
        raise UserError(f"--{name} is {value}; it must be {what}")
