"""What `seqsuite bench ops` measures: one module an operator, each with its `BENCH`."""
