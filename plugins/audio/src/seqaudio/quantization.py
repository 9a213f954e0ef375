"""Samples as codes and back: mu-law and linear quantisation of 4 to 16 bits, as SaShiMi was trained on.

    quantizer = Quantizer(bits=8, kind="mu_law")
    codes = quantizer.encode(samples)           # floats in [-1, 1] -> int64 in 0 .. 255, silence is quantizer.zero
    samples = quantizer.decode(codes)           # float32; the code of silence gives exactly 0

The cells are those of Goel et al. 2022 (state-spaces/s4), which differ a little from torchaudio's mu-law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from seqsuite.errors import UserError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["mu_law", "linear"]
Normalization = Literal["none", "peak", "minmax"]
_Samples = TypeVar("_Samples", "np.ndarray[Any, Any]", "Tensor")
_MARGIN = 0.01
_SHIFT = 1e-8
_FLOOR = 1e-6


@dataclass(frozen=True)
class Quantizer:
    """Codes of samples.

    Attributes:
        bits: Of a code, 4 to 16.
        kind: ``"mu_law"`` has finer steps for quiet samples, ``"linear"`` equal ones.

    Raises:
        UserError: The bits are out of range, or the kind is unknown.
    """

    bits: int = 8
    kind: Kind = "mu_law"

    def __post_init__(self) -> None:
        if not 4 <= self.bits <= 16:
            raise UserError(f"a code has 4 to 16 bits, got bits={self.bits}")
        if self.kind not in ("mu_law", "linear"):
            raise unknown_name("quantization", self.kind, ["mu_law", "linear"])

    @property
    def levels(self) -> int:
        """Number of codes."""
        return 1 << self.bits

    @property
    def zero(self) -> int:
        """The code of silence."""
        return 1 << (self.bits - 1)

    def encode(self, samples: _Samples) -> _Samples:
        """Return the codes of samples: int64, the same shape, a tensor or an array as given.

        Args:
            samples: Floats of any shape; those beyond -1 .. 1 get the outermost codes.

        Raises:
            ValueError: A sample is NaN or infinite.
            TypeError: The samples are no floats.
        """
        import torch

        if isinstance(samples, np.ndarray):
            return self.encode(torch.from_numpy(np.ascontiguousarray(samples))).numpy()
        if not samples.is_floating_point():
            raise TypeError(f"samples are floats in [-1, 1], not {samples.dtype}")
        if not bool(torch.isfinite(samples).all()):
            raise ValueError("a sample is NaN or infinite and has no code")
        # In double precision: at 16 bits the margin of the cells is below the resolution of a float.
        place = samples.double().clamp(-1, 1)
        if self.kind == "mu_law":
            mu = self.levels - 1
            place = place.sign() * torch.log1p(mu * (place + _SHIFT).abs()) / math.log1p(mu)
        # floor((place + 1) / 2 * (levels - margin) + margin / 2), written around silence so that 0 is never rounded.
        return torch.floor(place * ((self.levels - _MARGIN) / 2)).long() + self.zero

    def decode(self, codes: _Samples) -> _Samples:
        """Return the sample that each code stands for: float32, the same shape, a tensor or an array as given."""
        import torch

        if isinstance(codes, np.ndarray):
            return self.decode(torch.from_numpy(np.ascontiguousarray(codes))).numpy()
        place = codes.double() / self.zero - 1
        if self.kind == "mu_law":
            mu = self.levels - 1
            place = place.sign() * torch.expm1(place.abs() * math.log1p(mu)) / mu
        return place.float()


def normalize(samples: _Samples, how: Normalization = "none") -> _Samples:
    """Return one clip at another level; a new tensor or array, as given.

    Args:
        samples: One clip of any shape, floats.
        how: ``"none"`` as it is; ``"peak"`` divides by the largest magnitude (silence stays silent); ``"minmax"``
            maps smallest and largest sample to -1 and 1 as the published models were trained, which moves silence
            off zero and loses the clip's level.

    Raises:
        UserError: `how` is unknown.
    """
    if how not in ("none", "peak", "minmax"):
        raise unknown_name("normalization", how, ["none", "peak", "minmax"])
    if how == "none" or not math.prod(samples.shape):
        return samples + 0
    if how == "peak":
        peak = float(abs(samples).max())
        return samples / peak if peak else samples + 0
    low, high = samples.min(), samples.max()
    return (samples - low) / (high - low + _FLOOR) * 2 - 1
