"""Synthetic motion of real textures: clips whose class is how something moves, which no single frame can tell.

    data = MotionSet(textures("fashion"), seed=0, first=0, count=1000)
    data.frames(3), data.classes[data.labels[3]]            # (T, S, S) uint8, "left_fast"

A picture of Fashion-MNIST (Xiao et al. 2017; Debian's dataset-fashion-mnist) or of scikit-learn's digits lies on a
torus: what leaves on the right comes in on the left. It moves or turns; at the start its place and its angle are
uniform. So at every frame, in every class, the texture, the place and the angle have one and the same distribution:
one frame carries nothing about the class. Played backwards a class is another one (`REVERSED`), so frames without
their order tell at best two classes in one: the ceiling of shuffled frames is half.

The pictures are real, the motion is synthetic, and nothing here stands for a data set of real videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seqsuite.data.order import item_rng
from seqsuite.errors import UserError, unknown_name
from seqvision.data.images_arrays import FASHION_FOLDER, read_digits, read_idx_file

_FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
_CHOICE = 5


@dataclass(frozen=True)
class Motion:
    """What one class does from a frame to the next.

    Attributes:
        down: Pixels down.
        right: Pixels to the right.
        turn: Degrees anticlockwise.
    """

    down: int = 0
    right: int = 0
    turn: float = 0.0


MOTIONS: dict[str, Motion] = {
    "left_slow": Motion(right=-1),
    "left_fast": Motion(right=-3),
    "right_slow": Motion(right=1),
    "right_fast": Motion(right=3),
    "up_slow": Motion(down=-1),
    "up_fast": Motion(down=-3),
    "down_slow": Motion(down=1),
    "down_fast": Motion(down=3),
    "clockwise": Motion(turn=-15.0),
    "anticlockwise": Motion(turn=15.0),
}
REVERSED = {
    name: next(
        other
        for other, back in MOTIONS.items()
        if (back.down, back.right, back.turn) == (-motion.down, -motion.right, -motion.turn)
    )
    for name, motion in MOTIONS.items()
}
"""What each class is when it is played backwards."""


@dataclass(frozen=True)
class Textures:
    """Pictures to move, those of training apart from those of testing.

    Attributes:
        name: What they are.
        train: (n, h, w) uint8.
        test: (m, h, w) uint8, other pictures.
    """

    name: str
    train: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)


def textures(name: str = "auto", folder: str | Path = FASHION_FOLDER) -> Textures:
    """Load pictures.

    Args:
        name: fashion (Fashion-MNIST), digits (scikit-learn's), or auto: fashion where it is installed.
        folder: Where Fashion-MNIST lies, as the four files of its authors.

    Raises:
        UserError: The name is unknown, or the files are missing or damaged.
    """
    if name not in ("auto", "fashion", "digits"):
        raise unknown_name("textures", name, ("auto", "fashion", "digits"))
    if name == "digits" or (name == "auto" and not (Path(folder) / _FILES["train"]).exists()):
        return _digits()
    train, test = (_pictures(Path(folder) / file) for file in _FILES.values())
    return Textures("Fashion-MNIST", train, test)


def _digits() -> Textures:
    pictures = read_digits()[0]["all"][0]
    edge = len(pictures) * 4 // 5
    return Textures("scikit-learn digits", pictures[:edge], pictures[edge:])


def _pictures(path: Path) -> np.ndarray:
    if not path.exists():
        raise UserError(f"{path}: there is no such file; install Debian's dataset-fashion-mnist, or take the digits")
    pictures = read_idx_file(path)
    if pictures.ndim != 3 or pictures.dtype != np.uint8 or not len(pictures):
        raise UserError(f"{path}: holds {pictures.dtype} {pictures.shape}, not pictures (n, h, w) of 8 bits")
    return pictures


def drawn(texture: np.ndarray, size: int, angle: float) -> np.ndarray:
    """Draw a picture in the middle of a black square, turned: (size, size) uint8.

    Args:
        texture: (h, w) uint8; it is drawn as large as it can be turned without touching the edges.
        size: Side S of the square.
        angle: Degrees anticlockwise.
    """
    from PIL import Image

    side = int(size / 2**0.5)
    first = (size - side) // 2
    canvas = Image.new("L", (size, size))
    canvas.paste(Image.fromarray(texture).resize((side, side), Image.Resampling.BILINEAR), (first, first))
    return np.asarray(canvas.rotate(angle % 360, resample=Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Start:
    """What is drawn for a clip; it does not depend on the class.

    Attributes:
        texture: Number of the picture.
        angle: Degrees, uniform.
        top: Rows, uniform.
        left: Columns, uniform.
    """

    texture: int
    angle: float
    top: int
    left: int


class MotionSet:
    """Labelled clips, drawn when they are asked for; clip i is a function of (seed, i) alone.

    Args:
        pictures: (n, h, w) uint8 to choose from.
        seed: Of everything that is drawn.
        first: Number of the first clip; sets that share none have no clip in common.
        count: Number of clips; classes take turns.
        frames: T.
        size: Side S of a frame.
        classes: Which motions; all by default.

    Raises:
        UserError: A class is unknown, or there are fewer than two, or frames are too small.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        *,
        seed: int,
        first: int,
        count: int,
        frames: int = 8,
        size: int = 32,
        classes: Sequence[str] = tuple(MOTIONS),
    ) -> None:
        for name in classes:
            if name not in MOTIONS:
                raise unknown_name("motion", name, MOTIONS)
        if len(set(classes)) < 2 or len(set(classes)) < len(classes):
            raise UserError(f"motions must be two different ones or more, not {', '.join(classes)}")
        if size < 16 or frames < 2:
            raise UserError(f"motion needs at least 2 frames of 16 pixels, not {frames} of {size}")
        self.pictures, self.seed, self.first = pictures, seed, first
        self.length, self.size, self.classes = frames, size, tuple(classes)
        self.labels = np.arange(count, dtype=np.int64) % len(self.classes)

    def __len__(self) -> int:
        return len(self.labels)

    def start(self, index: int) -> Start:
        """Return what is drawn for a clip."""
        rng = item_rng(self.seed, _CHOICE, self.first + index)
        texture, top, left = (int(rng.integers(n)) for n in (len(self.pictures), self.size, self.size))
        return Start(texture, float(rng.uniform(0, 360)), top, left)

    def frames(self, index: int, numbers: Sequence[int] | None = None) -> np.ndarray:
        """Return frames of one clip: (T, S, S) uint8.

        Args:
            index: Which clip.
            numbers: Which frames; None for all.

        Raises:
            IndexError: There is no clip or frame of that number.
        """
        chosen = range(self.length) if numbers is None else numbers
        if not 0 <= index < len(self) or min(chosen) < 0 or max(chosen) >= self.length:
            raise IndexError(f"clips 0 to {len(self) - 1} of {self.length} frames, not {index}, {list(chosen)}")
        begin, motion = self.start(index), MOTIONS[self.classes[self.labels[index]]]
        texture, turned = self.pictures[begin.texture], {}
        frames = []
        for step in chosen:
            angle = begin.angle + step * motion.turn
            if angle not in turned:
                turned[angle] = drawn(texture, self.size, angle)
            place = (begin.top + step * motion.down, begin.left + step * motion.right)
            frames.append(np.roll(turned[angle], (place[0] % self.size, place[1] % self.size), axis=(0, 1)))
        return np.stack(frames)


@dataclass(frozen=True, eq=False)
class MotionClip:
    """One clip of a set, as `seqvision.data.video` reads it.

    Attributes:
        set: The set.
        index: Number of the clip.
    """

    set: MotionSet
    index: int

    @property
    def name(self) -> str:
        """What it is called in messages and tables."""
        return f"motion[{self.set.first + self.index}]"

    def facts(self) -> tuple[object, ...]:
        """Return what a resumed run knows it by."""
        made = self.set
        return self.name, made.seed, made.length, made.size, len(made.pictures), int(made.pictures[0].sum())

    def check(self) -> None:
        """A drawn clip is always there."""

    def grid(self, frame_rate: float) -> np.ndarray:
        """Return all frame numbers; the frames have no time.

        Raises:
            UserError: A frame rate is asked for.
        """
        if frame_rate:
            raise UserError("--frame_rate has no meaning for the synthetic motion; use --frame_stride")
        return np.arange(self.set.length)

    def read(self, numbers: np.ndarray, each: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """Return frames by number: (T, S, S, 1) uint8, or what `each` makes of them."""
        frames = self.set.frames(self.index, numbers.tolist())[..., None]
        return np.stack([each(frame) for frame in frames]) if each else frames
