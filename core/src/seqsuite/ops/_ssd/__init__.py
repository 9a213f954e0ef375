"""Chunked gated linear attention (state space duality): see `seqsuite.ops.ssd` and README.md."""
