"""What is built from mixers: the two-way wrapper, norms, blocks, the residual stack and the pooled backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.backbones.bidirectional import Bidirectional
    from seqsuite.backbones.einfft import EinFFT
    from seqsuite.backbones.grid import (
        GridMixer,
        MultiScan,
        ScanOrder,
        alternating_orders,
        factorised_orders,
        mix_grid,
        scan_order,
        to_grid,
        to_sequences,
    )
    from seqsuite.backbones.mlp_block import MLP, MLPBlock
    from seqsuite.backbones.norms import RMSNorm, create_norm
    from seqsuite.backbones.pooled_layers import DownPool, ResidualBlock, UpPool, residual_blocks
    from seqsuite.backbones.residual import Block, ResidualStack
    from seqsuite.backbones.unet import PooledBackbone

__all__ = [
    "MLP",
    "Bidirectional",
    "Block",
    "DownPool",
    "EinFFT",
    "GridMixer",
    "MLPBlock",
    "MultiScan",
    "PooledBackbone",
    "RMSNorm",
    "ResidualBlock",
    "ResidualStack",
    "ScanOrder",
    "UpPool",
    "alternating_orders",
    "create_norm",
    "factorised_orders",
    "mix_grid",
    "residual_blocks",
    "scan_order",
    "to_grid",
    "to_sequences",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bidirectional": ["Bidirectional"],
        "einfft": ["EinFFT"],
        "grid": [
            "GridMixer",
            "MultiScan",
            "ScanOrder",
            "alternating_orders",
            "factorised_orders",
            "mix_grid",
            "scan_order",
            "to_grid",
            "to_sequences",
        ],
        "mlp_block": ["MLP", "MLPBlock"],
        "norms": ["RMSNorm", "create_norm"],
        "residual": ["Block", "ResidualStack"],
        "pooled_layers": ["DownPool", "ResidualBlock", "UpPool", "residual_blocks"],
        "unet": ["PooledBackbone"],
    },
)
