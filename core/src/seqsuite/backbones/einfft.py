"""EinFFT as a module: SiMBA's channel mixer, a two-layer complex network on the frequencies of the steps.

It stands where a block has its MLP: (B, L, D) to (B, L, D), or a grid (B, grid..., D) whose cells are read in
row-major order. Parameter names, shapes and initial values are those of the published implementation
(https://arxiv.org/abs/2403.15360); the mathematics is `seqsuite.ops.einfft`. Every position sees every
other, so it is neither causal nor for padded rows::

    mix = EinFFT(64)
    x = x + mix(norm(x))            # (B, 14, 14, 64)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.ops import einfft


class EinFFT(nn.Module):
    """Mix channels block by block in the frequency domain.

    Args:
        dim: Width D, a multiple of the blocks.
        blocks: G: the channels are G blocks of D / G; the transform runs over steps and blocks.
        threshold: Real and imaginary parts of the result are shrunk by it before the inverse transform.
        init_std: Standard deviation of the initial weights and biases.
        device: Where the parameters live.
        dtype: Of the parameters; the computation is in float32 at least, whatever autocast says.

    Raises:
        UserError: A size is below 1, or the width is no multiple of the blocks.
    """

    no_decay: frozenset[str] = frozenset({"complex_bias_1", "complex_bias_2"})
    """Names of the parameters that an optimiser should not decay."""

    def __init__(
        self,
        dim: int,
        blocks: int = 4,
        *,
        threshold: float = 0.01,
        init_std: float = 0.02,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_range("EinFFT", {"dim": dim, "blocks": blocks}, least=1)
        check_range("EinFFT", {"threshold": threshold, "init_std": init_std}, least=0)
        if dim % blocks:
            raise UserError(f"EinFFT: the width {dim} is no multiple of {blocks} blocks")
        self.dim, self.blocks = dim, blocks
        self.threshold, self.init_std = threshold, init_std
        size = dim // blocks
        weight, bias = (2, blocks, size, size), (2, blocks, size)  # first axis: real parts, imaginary parts
        self.complex_weight_1 = nn.Parameter(torch.empty(weight, device=device, dtype=dtype))
        self.complex_weight_2 = nn.Parameter(torch.empty(weight, device=device, dtype=dtype))
        self.complex_bias_1 = nn.Parameter(torch.empty(bias, device=device, dtype=dtype))
        self.complex_bias_2 = nn.Parameter(torch.empty(bias, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases from a normal distribution of standard deviation `init_std`."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=self.init_std)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, grid..., D), row-major, with at least one axis between; the same shape and dtype.

        Raises:
            TypeError: If x is not floating-point, or complex.
            ValueError: If x has no axis of steps, no step, or another width.
        """
        if x.ndim < 3 or x.shape[-1] != self.dim:
            raise ValueError(f"EinFFT: x must be (B, L, {self.dim}) or (B, grid..., {self.dim}), got {tuple(x.shape)}")
        layers = (self.complex_weight_1, self.complex_bias_1, self.complex_weight_2, self.complex_bias_2)
        return einfft(x.flatten(1, -2), *layers, threshold=self.threshold).reshape(x.shape)

    def extra_repr(self) -> str:
        """Show the sizes in the module's text."""
        return f"{self.dim}, blocks={self.blocks}, threshold={self.threshold}"
