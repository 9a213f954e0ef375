"""Sequence models for offline reinforcement learning on SeqSuite.

import seqrl
policy = seqrl.load("runs/cartpole")        # loads torch; importing the package does not
agent = policy.agent()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqrl.api import TrainedPolicy, load

__version__ = "0.1.0"
__all__ = ["TrainedPolicy", "load"]

__getattr__, __dir__ = lazy_names(__name__, {"api": ["TrainedPolicy", "load"]})
