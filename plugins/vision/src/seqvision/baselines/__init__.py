"""Simple models that ours are measured beside, on the same data; free of torch until one is trained."""
