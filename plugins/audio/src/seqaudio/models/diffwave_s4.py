"""The S4 layer of DiffWave-SaShiMi: in both directions, with a bounded reach, and a kernel that old files may need.

    mixer = DiffWaveS4(64, limit=16000)

The published code sums over the modes of the state and their conjugates with a CUDA extension or pykeops. Where
neither is installed, its own sum leaves the conjugates out: the response is that of half of the modes at the
non-negative frequencies, and what is trained so works only so. `half_spectrum=True` reproduces it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.mixers._s4_block import _same
from seqsuite.mixers.s4 import S4
from seqsuite.ops._ssm_kernel.discrete import spread


class DiffWaveS4(S4):
    """Bidirectional S4 with rank 1.

    Args:
        d_model: Width.
        d_state: See `S4`.
        n_ssm: See `S4`.
        limit: It looks at most so many steps ahead and back; None: without limit.
        half_spectrum: Leave the conjugate modes out of the frequency response, which is then sampled at `limit`
            points; needs a limit.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        n_ssm: int | None = None,
        limit: int | None = None,
        half_spectrum: bool = False,
    ) -> None:
        super().__init__(d_model, d_state=d_state, n_ssm=n_ssm, bidirectional=True)
        self.limit, self.half_spectrum = limit, half_spectrum
        self._before: tuple[list[Tensor], Tensor] | None = None

    def kernel(self, length: int, *, rate: float = 1.0, states: Tensor | None = None) -> Any:
        """Return the kernel (2, H, L), zero beyond the limit; see `S4.kernel`.

        In evaluation mode and without gradients it is kept until a parameter's values or the length change.
        """
        if states is not None or rate != 1.0:
            return super().kernel(length, rate=rate, states=states)
        reach = length if self.limit is None else min(length, self.limit)
        k = self._fresh(reach) if self.training or torch.is_grad_enabled() else self._from_before(reach)
        return F.pad(k, (0, length - reach)) if length > reach else k

    def _fresh(self, reach: int) -> Tensor:
        if not self.half_spectrum:
            return super().kernel(reach)
        with torch.autocast(self.C.device.type, enabled=False):
            return self._from_half_spectrum()[..., :reach]

    def _from_before(self, reach: int) -> Tensor:
        """Return the kernel, made once for all steps of a reverse process: most of a forward pass otherwise."""
        sources = [parameter for name, parameter in self.named_parameters(recurse=False) if name != "D"]
        if self._before is None or self._before[1].shape[-1] != reach or not all(map(_same, self._before[0], sources)):
            self._before = ([parameter.clone() for parameter in sources], self._fresh(reach))
        return self._before[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of copies what can be made anew."""
        return super().__getstate__() | {"_before": None}

    def _from_half_spectrum(self) -> Tensor:
        """Return the kernel (2, H, limit) of the modes without their conjugates."""
        assert self.limit is not None
        system, C = self.recurrence()
        tuned = system.attune(C, self.limit)  # the kernel's length is that of the frequency response
        given = self.continuous()
        A, B, P = (spread(given[name], self.d_model) for name in ("A", "B", "P"))
        left = torch.cat((B[None], P))  # (2, H, N/2)
        right = torch.cat((tuned, P.conj()))  # (3, H, N/2)
        kind = torch.complex128 if self.C.dtype == torch.float64 else torch.complex64
        turns = torch.arange(self.limit // 2 + 1, device=self.C.device, dtype=torch.float64) / self.limit
        node = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)  # e^{-i w}
        half = (1 + node) / 2
        # The resolvent times 2 / (1 + node), so that nothing is divided by 0 at the highest frequency.
        resolvent = given["dt"][..., None] / ((1 - node) - (A * given["dt"])[..., None] * half)  # (H, N/2, L/2 + 1)
        r = torch.einsum("bhn,chn,hnl->bchl", left.to(kind), right.to(kind), resolvent.to(kind))
        low_rank = half.to(kind) * r[0, 2:] * r[1, :2] / (1 + half.to(kind) * r[1, 2:])
        return torch.fft.irfft(r[0, :2] - low_rank, n=self.limit)
