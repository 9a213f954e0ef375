"""What `seqsuite bench ops` measures: one module an operator, each with its `BENCHES` by variant ("" the only one)."""
