"""EinFFT, a block-diagonal complex MLP over frequencies: see `seqsuite.ops.einfft` and README.md."""
