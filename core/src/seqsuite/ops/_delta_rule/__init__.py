"""The delta rule (DeltaNet and kin): see `seqsuite.ops._delta_rule.op.delta_rule` and README.md."""
