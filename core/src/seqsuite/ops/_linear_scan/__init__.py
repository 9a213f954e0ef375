"""The elementwise linear recurrence h_t = a_t h_{t-1} + b_t: see `linear_scan` in op.py and README.md."""
