"""The long convolution by FFT: see `seqsuite.ops.long_conv` and README.md."""
