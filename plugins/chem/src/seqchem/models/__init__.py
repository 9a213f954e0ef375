"""Models of the package; `seqsuite.create_model` builds them by name."""
