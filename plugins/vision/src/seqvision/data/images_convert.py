"""Images of any mode as 8-bit grey or RGB, by one stated policy; what was converted is counted.

    image = converted(Image.open(path), channels=3, name=str(path))

Palettes are looked up; what is transparent is laid over white; 16-bit levels are divided by 257, so that the whole
range stays the whole range; CMYK and other colour spaces go to RGB; EXIF's turn is applied. Grey is repeated into three
channels, and colour becomes luma (ITU-R 601) for a model of one. Of several frames or pages the first is taken. Images
of floats have no known range and are refused.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from seqsuite.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
ADVICE = ", or use --on_error skip"
"""Ends messages about one image; commands without that flag, and lists of what was skipped, leave it out."""
_PLAIN = {"L": "grey", "RGB": "colour"}


def kind_of(image: Image.Image) -> str:
    """Return what an image is to the policy.

    Args:
        image: As it was opened.

    Returns:
        frames (it has several), transparent, 16-bit, grey, colour, palette, bilevel, or the name of its other mode.
    """
    if getattr(image, "n_frames", 1) > 1:
        return "frames"
    if image.mode in _ALPHA or "transparency" in image.info:
        return "transparent"
    if image.mode in _SIXTEEN:
        return "16-bit"
    return {**_PLAIN, "P": "palette", "1": "bilevel"}.get(image.mode, image.mode)


def is_grey(image: Image.Image) -> bool:
    """Return whether an image has no colour by its header; a palette counts as colour unless all its entries are grey.

    Args:
        image: As it was opened.
    """
    if image.mode in ("L", "LA", "La", "1", *_SIXTEEN):
        return True
    if image.mode == "P" and image.palette is not None:
        table = np.asarray(image.getpalette() or [0, 0, 0], dtype=np.int64).reshape(-1, 3)
        return bool((table == table[:, :1]).all())
    return False


def converted(image: Image.Image, channels: int, name: str) -> Image.Image:
    """Return an image as 8-bit grey ("L") or RGB by the policy above.

    Args:
        image: As it was opened.
        channels: 1 or 3.
        name: For the message.

    Raises:
        UserError: It holds floats, or levels beyond 16 bits.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN:
        image = _eight_bit(image, name)
    if image.mode == "F":
        raise UserError(f"{name}: holds floats, whose range is not known; save it with 8 or 16 bits")
    if image.mode in _ALPHA or "transparency" in image.info:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (255, 255, 255, 255)), over).convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    levels = np.asarray(image).astype(np.int64)
    if levels.size and (levels.min() < 0 or levels.max() > 65535):
        raise UserError(f"{name}: has levels from {levels.min()} to {levels.max()}; 16 bits end at 65535")
    return Image.fromarray(np.round(levels / 257).astype(np.uint8))


@contextmanager
def opened(file: Any, name: str) -> Iterator[Image.Image]:
    """Open an image; what is wrong with it is told in one line.

    Args:
        file: A path or a binary file.
        name: For the message.

    Raises:
        UserError: It is no image, damaged, too large, or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of large images; both are read.
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: is larger than images should be ({error})") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name}: is no image that can be read; remove it{ADVICE}") from error
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: is damaged ({reason}); remove it{ADVICE}") from error


def decode(file: str | IO[bytes], channels: int, name: str) -> Image.Image:
    """Open, decode and convert one image; see `converted` and `opened`."""
    with opened(file, name) as image:
        image.load()
        return converted(image, channels, name)


_WHAT = {
    "frames": "of several frames the first was taken",
    "palette": "palettes were looked up",
    "transparent": "transparency was laid over white",
    "16-bit": "16-bit levels were divided by 257",
    "bilevel": "bilevel images became black and white",
}


def conversion_notes(kinds: Mapping[str, int], channels: int) -> tuple[str, ...]:
    """Say what was converted, one line a kind.

    Args:
        kinds: How many images there are of each kind.
        channels: Of the model's inputs.
    """
    lines = []
    for kind, count in sorted(Counter(kinds).items()):
        if kind == "grey":
            what = "grey images were repeated into three channels" if channels == 3 else ""
        elif kind == "colour":
            what = "colour images became grey" if channels == 1 else ""
        else:
            what = _WHAT.get(kind, f"images of mode {kind} became {'RGB' if channels == 3 else 'grey'}")
        if what and count:
            lines.append(f"{count:,} of {sum(kinds.values()):,}: {what}")
    return tuple(lines)
