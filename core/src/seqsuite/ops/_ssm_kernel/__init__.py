"""Convolution kernels of state spaces, and the products they are made of: see `seqsuite.ops.ssm_kernel`, README.md."""
