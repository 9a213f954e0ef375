"""Softmax attention through PyTorch's own kernels: causal, windowed, grouped, padded, packed."""
