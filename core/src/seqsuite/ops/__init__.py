"""Long-sequence operators: pure mathematics, no parameters, one public function each.

Every operator has a readable reference, a portable PyTorch path that is fast on a CPU, and a Triton
path for GPUs; all agree, gradients included. The path is chosen by the `backend=` argument, else by
`use_backend`, else by the environment variable SEQSUITE_BACKEND, else by device, dtype and shape;
`explain_backend` tells the choice and why the others were not taken. Importing this package loads
neither torch nor triton. The folder of an operator carries a leading underscore because the
function itself has the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.ops._attention.op import attention
    from seqsuite.ops._causal_conv1d.op import causal_conv1d
    from seqsuite.ops._debug import NonFiniteError
    from seqsuite.ops._delta_rule.op import delta_rule
    from seqsuite.ops._dispatch import Choice, Operator, explain_backend, operators, use_backend
    from seqsuite.ops._einfft.op import einfft, einfft_spectrum
    from seqsuite.ops._linear_scan.op import linear_scan
    from seqsuite.ops._long_conv.chunked import long_conv_chunked
    from seqsuite.ops._long_conv.op import long_conv
    from seqsuite.ops._rnn_scan.op import rnn_scan
    from seqsuite.ops._selective_scan.op import selective_scan
    from seqsuite.ops._seq import Seq
    from seqsuite.ops._ssd.op import ssd
    from seqsuite.ops._ssm_kernel.discrete import DiscreteSSM, discretize
    from seqsuite.ops._ssm_kernel.op import ssm_kernel
    from seqsuite.ops._ssm_kernel.products import cauchy, power_sums, vandermonde

__all__ = [
    "Choice",
    "DiscreteSSM",
    "NonFiniteError",
    "Operator",
    "Seq",
    "attention",
    "cauchy",
    "causal_conv1d",
    "delta_rule",
    "discretize",
    "einfft",
    "einfft_spectrum",
    "explain_backend",
    "linear_scan",
    "long_conv",
    "long_conv_chunked",
    "operators",
    "power_sums",
    "rnn_scan",
    "selective_scan",
    "ssd",
    "ssm_kernel",
    "use_backend",
    "vandermonde",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "_dispatch": ["Choice", "Operator", "explain_backend", "operators", "use_backend"],
        "_debug": ["NonFiniteError"],
        "_seq": ["Seq"],
        "_causal_conv1d.op": ["causal_conv1d"],
        "_long_conv.chunked": ["long_conv_chunked"],
        "_long_conv.op": ["long_conv"],
        "_selective_scan.op": ["selective_scan"],
        "_einfft.op": ["einfft", "einfft_spectrum"],
        "_rnn_scan.op": ["rnn_scan"],
        "_attention.op": ["attention"],
        "_delta_rule.op": ["delta_rule"],
        "_ssd.op": ["ssd"],
        "_ssm_kernel.op": ["ssm_kernel"],
        "_ssm_kernel.products": ["cauchy", "power_sums", "vandermonde"],
        "_ssm_kernel.discrete": ["DiscreteSSM", "discretize"],
        "_linear_scan.op": ["linear_scan"],
    },
)
