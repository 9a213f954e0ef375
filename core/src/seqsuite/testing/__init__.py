"""What the author of a plugin needs: laws for plugins, mixers and models, and the runner of reference cases.

`seqsuite.testing.check_plugin`, `seqsuite.testing.mixers.check_mixer`,
`seqsuite.testing.models.check_model`, `seqsuite.testing.parity.check_case`.
"""

from __future__ import annotations

from seqsuite.testing.plugin import check_plugin

__all__ = ["check_plugin"]
