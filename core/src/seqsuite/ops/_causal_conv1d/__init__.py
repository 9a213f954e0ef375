"""The short causal depthwise convolution: see `seqsuite.ops.causal_conv1d` and README.md."""
