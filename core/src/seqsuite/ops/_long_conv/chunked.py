"""The long convolution of a sequence that does not fit into memory, block by block.

Input and filter are cut into blocks of the same length. A pair of blocks convolves to two blocks of
output; pairs that begin at the same place are summed as spectra, so that each output block takes one
inverse FFT. Blocks run from the end to the start: the output may replace the input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._long_conv.portable import fft_length


@torch.no_grad()
def long_conv_chunked(
    u: Any,
    k: Any,
    out: Any,
    *,
    D: Tensor | None = None,
    block: int = 65536,
    channels: int | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """Write ``long_conv(u, k, D=D)`` into `out`, with memory for a few blocks at a time.

    Takes ``n (n + 1)`` FFTs of two blocks for n = L / block, and reads every block n / 2 times on average: larger
    blocks are faster, smaller ones need less memory (about 40 block channels bytes a row of the batch). The
    numbers are those of `long_conv` to rounding. There is no gradient.

    Args:
        u: Input (..., L, D): a tensor, a numpy array, or anything that slices like one (memory-mapped).
        k: Filter taps, the first one for the present step (K, D), likewise.
        out: Takes the output (..., L, D), likewise; it may be `u`.
        D: Skip (D,).
        block: Steps of a block.
        channels: Channels at a time; None: all.
        device: Where it computes.

    Raises:
        ValueError: If shapes do not fit, or there is no step, no tap or no block.
    """
    length, width = _check(u, k, out, D, block)
    step = width if channels is None else max(1, channels)
    for at in range(0, width, step):
        part = slice(at, min(at + step, width))
        _convolve(u, k, out, None if D is None else D[part], part, min(block, length), device)


def _convolve(
    u: Any, k: Any, out: Any, D: Tensor | None, channels: slice, block: int, device: torch.device | str
) -> None:
    """Convolve some channels."""
    length, n = u.shape[-2], fft_length(2 * block - 1)
    dtype = torch.float64 if str(u.dtype).endswith("float64") else torch.float32
    blocks = -(-length // block)
    reach = -(-min(k.shape[0], length) // block)

    def spectrum(source: Any, index: int, skip: Tensor | None = None) -> Tensor:
        part = source[..., index * block : min((index + 1) * block, length), channels]
        read = (part if isinstance(part, Tensor) else torch.tensor(part)).to(device, dtype, copy=True)
        if skip is not None:
            read[0] += skip.to(device, dtype)
        return torch.fft.rfft(read, n, dim=-2)

    waiting: Tensor | None = None  # what begins in the block behind the present one
    for place in range(blocks - 1, -2, -1):
        total: Tensor | None = None
        for index in range(max(0, place - reach + 1), place + 1):
            product = spectrum(u, index) * spectrum(k, place - index, D if place == index else None)
            total = product if total is None else total.add_(product)
        both = None if total is None else torch.fft.irfft(total, n, dim=-2)
        if waiting is not None:
            begin = (place + 1) * block
            done = waiting[..., : min(block, length - begin), :]
            if both is not None:
                tail = both[..., block : block + done.shape[-2], :]
                done[..., : tail.shape[-2], :] += tail
            done = done.to("cpu") if not isinstance(out, Tensor) else done.to(out.device, out.dtype)
            out[..., begin : begin + done.shape[-2], channels] = done if isinstance(out, Tensor) else done.numpy()
        waiting = None if both is None else both[..., :block, :].clone()


def _check(u: Any, k: Any, out: Any, D: Tensor | None, block: int) -> tuple[int, int]:
    """Return L and D, or raise ValueError unless shapes fit."""
    if len(u.shape) < 2 or u.shape[-2] == 0:
        raise ValueError(f"u must be (..., L, D) with L > 0, got {tuple(u.shape)}")
    length, width = u.shape[-2:]
    if len(k.shape) != 2 or k.shape[1] != width or k.shape[0] == 0:
        raise ValueError(f"k must be (K, D) with K > 0 and D = {width}, got {tuple(k.shape)}")
    if tuple(out.shape) != tuple(u.shape):
        raise ValueError(f"out must be {tuple(u.shape)} as u, got {tuple(out.shape)}")
    if D is not None and D.shape != (width,):
        raise ValueError(f"D must be ({width},), got {tuple(D.shape)}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    return length, width
