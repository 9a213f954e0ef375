"""Vandermonde and Cauchy products in PyTorch: matrix products of small factors, tile by tile.

Complex numbers are pairs (..., 2). The powers exp(a l), l = i Q + j, are products of two small factors
exp(a Q i) and exp(a j), so that all L steps are one real matrix product, and so are the sums of the
backward pass. Phases are reduced modulo 2 pi in float64: they may be 10^6 radians. The Cauchy product
shares one reciprocal 1 / ((z - w)(z - conj w)) among all rows of v and both conjugates; its
differences are taken in the precision of z and w, so that they stay accurate near a pole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

PRODUCT = 1 << 20
"""Elements of a Vandermonde product that are made at a time on a CPU, about."""
TILE = 1 << 17
"""Elements of a tile of reciprocals on a CPU, about: some buffers of it fit into the cache."""


def vandermonde_forward(c: Tensor, log_a: Tensor, length: int) -> Tensor:
    """Return 2 Re sum_n c_n exp(log_a_n l) as (M, H, L) for c (M, H, N, 2) and log_a (H, N, 2)."""
    rows, heads, states = c.shape[:3]
    inner, outer = split_length(length)
    out = torch.empty(rows, heads, length, dtype=c.dtype, device=c.device)
    for part in _groups(heads, rows * inner * outer, PRODUCT, c):
        near_re, near_im = powers(log_a[part], inner, 1, c.dtype)  # (h, Q, N)
        far_re, far_im = (x[:, None] for x in powers(log_a[part], outer, inner, c.dtype))  # (h, 1, P, N)
        c_re, c_im = (2 * c[:, part].transpose(0, 1)[:, :, None]).unbind(-1)  # (h, M, 1, N)
        u = torch.cat((c_re * far_re - c_im * far_im, -(c_re * far_im + c_im * far_re)), -1)  # (h, M, P, 2 N)
        v = torch.cat((near_re, near_im), -1)  # (h, Q, 2 N)
        k = torch.bmm(u.view(len(u), rows * outer, 2 * states), v.transpose(1, 2))  # (h, M P, Q)
        out[:, part] = k.view(len(u), rows, outer * inner)[..., :length].transpose(0, 1)
    return out


def vandermonde_backward(dk: Tensor, c: Tensor, log_a: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of c (M, H, N, 2) and log_a (H, N, 2) for dk (M, H, L)."""
    rows, heads, states = c.shape[:3]
    length = dk.shape[-1]
    inner, outer = split_length(length)
    dc, d_log = torch.empty_like(c), torch.empty_like(log_a)
    for part in _groups(heads, rows * inner * outer, PRODUCT, c):
        near_re, near_im = powers(log_a[part], inner, 1, c.dtype)
        far_re, far_im = (x[:, None] for x in powers(log_a[part], outer, inner, c.dtype))
        j = torch.arange(inner, dtype=c.dtype, device=c.device)[:, None]
        v = torch.cat((near_re, near_im, j * near_re, j * near_im), -1)  # (h, Q, 4 N)
        g = dk[:, part].transpose(0, 1)
        g = torch.nn.functional.pad(g, (0, inner * outer - length)).reshape(len(v), rows * outer, inner)
        t = torch.bmm(g, v).view(len(v), rows, outer, 4, states)  # sums over j of each block i
        i = inner * torch.arange(outer, dtype=c.dtype, device=c.device)[:, None]
        t_re, t_im = t[..., 0, :], t[..., 1, :]
        s_re, s_im = t[..., 2, :].addcmul(i, t_re), t[..., 3, :].addcmul(i, t_im)
        dc[:, part, :, 0] = (2 * (far_re * t_re - far_im * t_im).sum(2)).transpose(0, 1)
        dc[:, part, :, 1] = (-2 * (far_re * t_im + far_im * t_re).sum(2)).transpose(0, 1)
        s_re, s_im = (far_re * s_re - far_im * s_im).sum(2), (far_re * s_im + far_im * s_re).sum(2)  # (h, M, N)
        c_re, c_im = c[:, part].transpose(0, 1).unbind(-1)
        d_log[part, :, 0] = (2 * (c_re * s_re - c_im * s_im).sum(1)).to(d_log.dtype)
        d_log[part, :, 1] = (-2 * (c_re * s_im + c_im * s_re).sum(1)).to(d_log.dtype)
    return dc, d_log


def split_length(length: int) -> tuple[int, int]:
    """Return (Q, P) with P Q >= length and about equal factors, Q a power of two."""
    inner = min(length, 1 << math.ceil(math.log2(max(1, length)) / 2))
    return inner, -(-length // inner)


def powers(log_a: Tensor, count: int, stride: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the real and imaginary parts of exp(log_a stride i), i < count, as (H, count, N)."""
    steps = stride * torch.arange(count, dtype=torch.float64, device=log_a.device)[:, None]
    exponent, phase = (x[:, None] * steps for x in log_a.double().unbind(-1))
    turns = torch.round(phase / (2 * math.pi))
    phase = phase.sub_(turns.mul_(2 * math.pi)).to(dtype)
    size = exponent.to(dtype).exp_()
    return size * torch.cos(phase), size * torch.sin(phase)


def cauchy_forward(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Return the Cauchy product (M, H, F, 2) for v (M, H, N, 2), z (F, 2) and w (H, N, 2)."""
    rows, heads, states = v.shape[:3]
    weights = _weights(v, w)
    out = torch.empty(rows, heads, len(z), 2, dtype=v.dtype, device=v.device)
    for part, points in _tiles(heads, states, len(z), v):
        d, _ = _reciprocals(z[points], w[part], v.dtype)
        r = torch.bmm(weights[part], d.flatten(2)).view(-1, 2 * rows, *d.shape[2:])  # (h, 2 M, 2, f)
        x, y = z[points].to(v.dtype).unbind(-1)
        (p_re, p_im), (q_re, q_im) = r[:, :rows].unbind(2), r[:, rows:].unbind(2)
        out[:, part, points, 0] = (x * p_re - y * p_im - q_re).transpose(0, 1)
        out[:, part, points, 1] = (x * p_im + y * p_re - q_im).transpose(0, 1)
    return out


def cauchy_backward(g: Tensor, v: Tensor, z: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of v (M, H, N, 2) and w (H, N, 2) for g (M, H, F, 2)."""
    rows, heads, states = v.shape[:3]
    weights = _weights(v, w)
    d_weights = torch.zeros_like(weights)
    dw = torch.zeros(heads, states, 2, dtype=v.dtype, device=v.device)
    for part, points in _tiles(heads, states, len(z), v):
        d, dx = _reciprocals(z[points], w[part], v.dtype)  # (h, N, 2, f)
        x, y = z[points].to(v.dtype).unbind(-1)
        g_re, g_im = g[:, part, points].transpose(0, 1).unbind(-1)  # (h, M, f)
        gz_re, gz_im = g_re * x + g_im * y, g_re * y - g_im * x  # conj(g) z
        both = torch.cat((torch.stack((gz_re, -gz_im), 2), torch.stack((-g_re, -g_im), 2)), 1)
        d_weights[part] += torch.bmm(both.flatten(2), d.flatten(2).transpose(1, 2))
        both[:, :rows, 1].neg_()
        both[:, rows:, 1].neg_()
        e = torch.bmm(weights[part].transpose(1, 2), both.flatten(2)).view_as(d)
        (e_re, e_im), (d_re, d_im) = e.unbind(2), d.unbind(2)
        for _ in range(2):  # -E D^2: twice times D, the sign at the end
            e_re, e_im = e_re * d_re - e_im * d_im, e_re * d_im + e_im * d_re
        dw[part, :, 0] += 2 * (e_re * dx - e_im * y).sum(-1)
        dw[part, :, 1] -= 2 * e_re.sum(-1)
    dw[..., 1] *= w[..., 1].to(v.dtype)
    dp, dq = d_weights.transpose(0, 1).split(rows)  # (M, H, N)
    w_re, w_im = w.to(v.dtype).unbind(-1)
    dv = 2 * torch.stack((dp + w_re * dq, w_im * dq), -1)
    return dv, (dw + 2 * (v * dq[..., None]).sum(0)).to(w.dtype)


def _weights(v: Tensor, w: Tensor) -> Tensor:
    """Return 2 Re v and 2 Re(v conj w), (H, 2 M, N): z times the first less the second is the numerator."""
    products = 2 * (v.to(w.dtype) * w).sum(-1)
    return torch.cat((2 * v[..., 0], products.to(v.dtype))).transpose(0, 1).contiguous()


def _reciprocals(z: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return 1 / ((z - w)(z - conj w)), (h, N, 2, f), and Re(z - w), (h, N, f) or (h, N, 1)."""
    (x, y), (w_re, w_im) = z.unbind(-1), w[:, :, None].unbind(-1)
    height, level = y.abs(), w_im.abs()
    dx = (x - w_re).to(dtype)
    re = torch.addcmul(dx * dx, (height - level).to(dtype), (height + level).to(dtype), value=-1)
    im = 2 * dx * y.to(dtype)
    size = torch.addcmul(re * re, im, im).reciprocal_()
    d = torch.empty(*re.shape[:2], 2, re.shape[2], dtype=dtype, device=z.device)
    torch.mul(re, size, out=d[:, :, 0])
    torch.mul(im.neg_(), size, out=d[:, :, 1])
    return d, dx


def _groups(heads: int, each: int, room: int, like: Tensor) -> Iterator[slice]:
    """Give groups of heads of about `room` elements, more where the device has many cores."""
    room = room if like.device.type == "cpu" else 64 * room
    step = max(1, room // max(1, each))
    for at in range(0, heads, step):
        yield slice(at, min(at + step, heads))


def _tiles(heads: int, states: int, points: int, like: Tensor) -> Iterator[tuple[slice, slice]]:
    """Give tiles of heads and points of about TILE elements with all states."""
    room = TILE if like.device.type == "cpu" else 1 << 26
    width = max(64, room // max(1, states))
    for part in _groups(heads, states * min(points, width), room, like):
        for at in range(0, points, width):
            yield part, slice(at, min(at + width, points))
