"""Benchmarks: speed and memory of operators, and tasks that tell mixers apart."""
