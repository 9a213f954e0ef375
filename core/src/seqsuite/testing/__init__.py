"""What the author of a plugin needs: laws for plugins, mixers and models, and the runner of reference cases.

`seqsuite.testing.plugin.check_plugin`, `seqsuite.testing.mixers.check_mixer`,
`seqsuite.testing.models.check_model`, `seqsuite.testing.parity.check_case`.
"""
