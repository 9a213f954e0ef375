"""Vision models; importing this package enters them into timm's registry."""

from seqvision.models import mamba_nd, simba

__all__ = ["mamba_nd", "simba"]
