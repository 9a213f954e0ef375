"""The selective scan (Mamba-1): see `seqsuite.ops.selective_scan` and README.md."""
