"""The long convolution by real FFTs, channel-last, over cache-sized groups of channels and rows.

Convolution is a product of spectra, its reverse direction a product with the conjugate, and the
gradients are products again, so nothing is flipped. Conjugates are written out: torch's lazy ones are
lost when a traced graph calls a registered operator. The skip D is part of tap 0. The backward pass
takes the spectra that the forward pass kept, or makes them anew; the gradient of the taps is summed
over the batch before its one inverse FFT. A few taps are shifted multiply-adds instead: with 16 these
are 1.3 times (L = 16) to 7 times (L = 1024) as fast on a CPU, and exactly causal.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from seqsuite.ops._causal_conv1d import portable as shifted
from seqsuite.ops._operands import compute_dtype

DIRECT_TAPS = 16
"""Up to so many taps there is no FFT."""
SLAB = 1 << 18
"""Elements that a CPU thread transforms at a time, about: up to twice as fast as all at once from 2^19 elements on."""
LEAST_CHANNELS = 4
"""Channels of a group at least: narrower ones waste most of every cache line."""


def fft_length(least: int, *, largest_factor: int = 5) -> int:
    """Return the smallest length from `least` on whose prime factors are 2, 3, 5 (and 7)."""
    primes = [p for p in (2, 3, 5, 7) if p <= largest_factor]
    length = least
    while not _smooth(length, primes):
        length += 1
    return length


def spectrum_length(u: Tensor, k: Tensor) -> tuple[int, int]:
    """Return the length of the FFT and of its half spectrum, (0, 0) where none is made."""
    taps = min(k.shape[0], u.shape[1])
    if taps <= DIRECT_TAPS:
        return 0, 0
    n = fft_length(u.shape[1] + taps - 1, largest_factor=7 if u.device.type == "cuda" else 5)
    return n, n // 2 + 1


def forward(u: Tensor, k: Tensor, D: Tensor | None, reverse: bool, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return y (B, L, D), and if `keep` the spectra (B, F, D) of the input and (F, D) of the taps, else empty."""
    taps, (n, half) = used_taps(u, k, D), spectrum_length(u, k)
    kind = torch.complex128 if u.dtype == torch.float64 else torch.complex64
    batch, length, width = u.shape
    kept = keep and n > 0
    u_f = torch.empty((batch, half, width) if kept else 0, dtype=kind, device=u.device)
    k_f = torch.empty((half, width) if kept else 0, dtype=kind, device=u.device)
    if not n:
        return shifted.forward(u, as_window(taps), None, None, None, False, reverse), u_f, k_f
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    for channels, rows in _groups(u, n):
        factor = torch.fft.rfft(taps[:, channels], n, dim=0)
        if kept:
            k_f[:, channels] = factor
        factor = torch.conj_physical(factor) if reverse else factor
        for some in rows:
            spectrum = torch.fft.rfft(u[some, :, channels].to(taps.dtype), n, dim=1)
            if kept:
                u_f[some, :, channels] = spectrum
            y[some, :, channels] = torch.fft.irfft(spectrum.mul_(factor), n, dim=1)[:, :length]
    return y, u_f, k_f


def backward(
    dy: Tensor, u: Tensor, k: Tensor, D: Tensor | None, u_f: Tensor, k_f: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of u, k and D; empty where absent. Spectra that are empty are made anew."""
    taps, (n, _) = used_taps(u, k, D), spectrum_length(u, k)
    dk = torch.zeros(k.shape, dtype=taps.dtype, device=u.device)
    if n:
        du = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        for channels, rows in _groups(u, n):
            factor = k_f[:, channels] if k_f.numel() else torch.fft.rfft(taps[:, channels], n, dim=0)
            factor = factor if reverse else torch.conj_physical(factor)
            total = torch.zeros_like(factor)
            for some in rows:
                g = torch.fft.rfft(dy[some, :, channels].to(taps.dtype), n, dim=1)
                if u_f.numel():
                    spectrum = u_f[some, :, channels]
                else:
                    spectrum = torch.fft.rfft(u[some, :, channels].to(taps.dtype), n, dim=1)
                du[some, :, channels] = torch.fft.irfft(g * factor, n, dim=1)[:, : u.shape[1]]
                total += g.conj_physical_().mul_(spectrum).sum(0)
            total = total if reverse else total.conj_physical_()
            dk[: len(taps), channels] = torch.fft.irfft(total, n, dim=0)[: len(taps)]
    else:
        window = as_window(taps)
        du, d_window, _, _ = shifted.backward(dy, u, window, None, None, None, False, reverse)
        dk[: len(taps)] = d_window.t().flip(0)
    dD = u.new_empty(0) if D is None else dk[0].to(D.dtype, copy=True)
    return du, dk.to(k.dtype), dD


def _smooth(number: int, primes: list[int]) -> bool:
    for prime in primes:
        while number % prime == 0:
            number //= prime
    return number == 1


def used_taps(u: Tensor, k: Tensor, D: Tensor | None) -> Tensor:
    """Return the taps that are used, (min(K, L), D), in the computation's precision, with the skip in the first."""
    taps = k[: u.shape[1]].to(compute_dtype(u))
    return taps if D is None else torch.cat((taps[:1] + D.to(taps.dtype), taps[1:]))


def as_window(taps: Tensor) -> Tensor:
    """Return taps (K, D) as the weight (D, K) of the short convolution, the present step last."""
    return taps.flip(0).t().contiguous()


def _groups(u: Tensor, n: int) -> Iterator[tuple[slice, list[slice]]]:
    """Give groups of channels, each with the groups of rows to run with it."""
    batch, _, width = u.shape
    slab = SLAB * torch.get_num_threads() if u.device.type == "cpu" else u.numel() * n
    count = min(width, max(LEAST_CHANNELS, slab // n))
    step = max(1, slab // (n * count))
    rows = [slice(at, min(at + step, batch)) for at in range(0, batch, step)]
    for at in range(0, width, count):
        yield slice(at, min(at + count, width)), rows
