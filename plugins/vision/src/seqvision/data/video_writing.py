"""Write clips as video files, lossless or compressed.

write_video("clip.mkv", frames, rate=25)                    # FFV1: comes back bit for bit
write_video("clip.mp4", frames, rate=25, codec="libx264")   # compressed
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from seqsuite.errors import UserError

_PIXELS = {"ffv1": "bgr0", "libx264rgb": "rgb24", "libx264": "yuv420p", "mpeg4": "yuv420p"}


def write_video(
    path: str | Path,
    frames: np.ndarray,
    *,
    rate: float = 25.0,
    codec: str = "ffv1",
    options: Mapping[str, str] | None = None,
    turn: int = 0,
) -> Path:
    """Write frames as a video file, whole or not at all.

    Args:
        path: Where to; its suffix decides the container (.mkv, .mp4, .avi).
        frames: (T, H, W) or (T, H, W, 3) uint8.
        rate: Frames a second.
        codec: ffv1 and libx264rgb with {"qp": "0"} keep every value; libx264 and mpeg4 do not.
        options: Of the encoder.
        turn: Quarter turns anticlockwise that a player should show it with, in the file's display matrix.

    Returns:
        The path.

    Raises:
        UserError: The place is not writable, or the container does not take the codec.
    """
    import av

    target = Path(path)
    aside = target.with_name(f".{os.getpid()}.{target.name}")
    coloured = frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, axis=-1)
    try:
        with av.open(str(aside), "w") as container:
            stream: Any = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
            stream.height, stream.width = coloured.shape[1:3]
            stream.pix_fmt, stream.options = _PIXELS[codec], dict(options or {})
            if turn:
                stream.set_display_rotation(90.0 * turn)
            for picture in coloured:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        os.replace(aside, target)
    except (av.error.FFmpegError, OSError) as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror or error}") from None
    return target
