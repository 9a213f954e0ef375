"""Raw audio models on SeqSuite.

The package is announced to the suite and has its place in it; its models and commands are not built yet.
"""

from __future__ import annotations

__version__ = "0.1.0"
