"""Initial state matrices of S4 and S4D: HiPPO measures in normal plus low-rank form, and diagonal ones.

    parts = nplr("legs", 64)               # A (32,), P (1, 32), B (32,): A_full = V (diag(A) - P P^*) V^*
    A, B = diagonal("lin", 64)

HiPPO: Gu et al. 2020 (arXiv 2008.07669); the low-rank form: S4 (arXiv 2111.00396), appendix C; the diagonal
ones: S4D (arXiv 2206.11893), section 4. In float64; of each conjugate pair the mode with Im A <= 0.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Measure = Literal["legs", "legt", "fourier"]
DiagonalInit = Literal["lin", "inv", "inv2", "quad", "real", "legs", "rand"]
LEAST_RANK = {"legs": 1, "legt": 2, "fourier": 1}
"""Columns that make each measure's matrix normal."""


class NPLR(NamedTuple):
    """A state matrix diag(A) - P P^* on N/2 modes, each with its conjugate.

    Attributes:
        A: (N/2,) complex128, the fastest mode first.
        P: (r, N/2) complex128.
        B: (N/2,) complex128.
    """

    A: Tensor
    P: Tensor
    B: Tensor


def transition(measure: Measure, d_state: int) -> tuple[Tensor, Tensor]:
    """Return the dense HiPPO matrices A (N, N) and B (N,).

    Args:
        measure: "legs" (scaled Legendre), "legt" (translated Legendre) or "fourier".
        d_state: N.
    """
    n = torch.arange(d_state, dtype=torch.float64)
    if measure == "legs":
        B = torch.sqrt(2 * n + 1)
        return -(torch.tril(B[:, None] * B, -1) + torch.diag(n + 1)), B
    if measure == "legt":
        B = torch.sqrt(2 * n + 1)
        sign = torch.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), 1.0)
        return -0.5 * B[:, None] * sign * B, 0.5 * B
    turns = torch.zeros(d_state, dtype=torch.float64)
    turns[2::2] = math.pi * n[1 : (d_state + 1) // 2]  # cosine and sine of a frequency side by side
    B = _fourier_column(d_state)
    turning = torch.diag(turns[:-1], -1) - torch.diag(turns[:-1], 1)
    return turning - B[:, None] * B, B


def low_rank(measure: Measure, d_state: int, rank: int) -> Tensor:
    """Return P (rank, N) with A + P^T P normal; columns that the measure does not need are zero.

    Raises:
        ValueError: The rank is below `LEAST_RANK`.
    """
    if rank < LEAST_RANK[measure]:
        raise ValueError(f"rank must be at least {LEAST_RANK[measure]} for {measure!r}, got {rank}")
    n = torch.arange(d_state, dtype=torch.float64)
    P = torch.zeros(rank, d_state, dtype=torch.float64)
    if measure == "legs":
        P[0] = torch.sqrt(n + 0.5)
    elif measure == "legt":
        P[0, 1::2] = torch.sqrt(n + 0.5)[1::2]
        P[1, 0::2] = torch.sqrt(n + 0.5)[0::2]
    else:
        P[0] = _fourier_column(d_state)
    return P


def _fourier_column(d_state: int) -> Tensor:
    B = torch.zeros(d_state, dtype=torch.float64)
    B[0::2] = math.sqrt(2)
    B[0] = 1
    return B


def nplr(
    measure: Measure,
    d_state: int,
    *,
    rank: int = 1,
    clip: float | None = 2.0,
    single_precision: bool = False,
) -> NPLR:
    """Bring a HiPPO matrix into normal plus low-rank form.

    Args:
        measure: Which.
        d_state: N, even.
        rank: Columns of P.
        clip: Bound on the imaginary parts of B, as in the published code; None: none. What it cuts depends on
            the phases of the eigenvectors: their first component is real.
        single_precision: Round the matrix to single precision before it is diagonalised and keep the signs that
            come out, as the published code does: its initial values where LAPACK is the same. Otherwise the
            eigenvectors' first component is positive.

    Raises:
        ValueError: The rank is too small.
    """
    A, B = transition(measure, d_state)
    P = low_rank(measure, d_state, rank)
    if single_precision:
        A, P = A.float(), P.float()
    normal = (A + P.mT @ P).double()
    level = normal.diagonal().mean()
    turns, V = torch.linalg.eigh(-1j * normal)
    turns, V = turns[: d_state // 2], V[:, : d_state // 2]
    if turns[-1].abs() < 1e-4:  # both modes of the frequency zero: one pair that spans them
        V = V.clone()
        V[:, -1] = 0
        V[:2, -1] = torch.tensor([1, 1j], dtype=V.dtype) / math.sqrt(2)
    if not single_precision:
        first = V[(V.abs() > 1e-6).int().argmax(0), torch.arange(V.shape[1])]
        V = V * (first.conj() / first.abs())
    B = V.mH @ B.to(V.dtype)
    if clip is not None:
        B = torch.complex(B.real, B.imag.clamp(-clip, clip))
    return NPLR(torch.complex(level.expand_as(turns), turns), P.to(V.dtype) @ V.conj(), B)


def diagonal(
    init: DiagonalInit, d_state: int, *, copies: int = 1, single_precision: bool = False
) -> tuple[Tensor, Tensor]:
    """Return A and B (copies, N/2) of a diagonal system.

    Args:
        init: Imaginary parts pi n ("lin"), N/pi (N/(2n+1) - 1) ("inv"), N/pi (N/(n+1) - 1) ("inv2"), (2n+1)^2/pi
            ("quad"), exp of a normal number ("rand"), those of HiPPO ("legs"); real parts -1/2; or A = -(n+1) ("real").
        d_state: N, even.
        copies: Systems; only with "rand" do they differ.
        single_precision: See `nplr`, for "legs".
    """
    n = torch.arange(d_state // 2, dtype=torch.float64)
    real, B = torch.full_like(n, 0.5), torch.ones(d_state // 2, dtype=torch.complex128)
    if init == "legs":
        parts = nplr("legs", d_state, single_precision=single_precision)
        A, B = torch.complex(-real, parts.A.imag), parts.B
    elif init == "rand":
        imag = torch.exp(torch.randn(copies, d_state // 2, dtype=torch.float64))
        A = torch.complex(-real.expand_as(imag), -imag)
    elif init == "real":
        A = torch.complex(-(n + 1), torch.zeros_like(n))
    else:
        imag = {
            "lin": math.pi * n,
            "inv": d_state / math.pi * (d_state / (2 * n + 1) - 1),
            "inv2": d_state / math.pi * (d_state / (n + 1) - 1),
            "quad": (2 * n + 1).square() / math.pi,
        }[init]
        A = torch.complex(-real, -imag)
    return A.expand(copies, -1).clone(), B.expand(copies, -1).clone()


def hippo_eigenvalues(size: int) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (N,) and eigenvectors (N, N) of HiPPO-N, the normal part of HiPPO-LegS, complex128.

    LegS is the sum of a normal matrix and one of rank one; the normal one is -1/2 plus a skew-symmetric matrix.
    The eigenvalues come with rising imaginary part, the matrix of eigenvectors is unitary.

    Args:
        size: N.
    """
    root = torch.sqrt(2 * torch.arange(size, dtype=torch.float64) + 1)
    lower = torch.tril(root[:, None] * root, -1) / 2
    skew = lower.T - lower
    imaginary, vectors = torch.linalg.eigh(-1j * skew)
    return torch.complex(torch.full_like(imaginary, -0.5), imaginary), vectors
