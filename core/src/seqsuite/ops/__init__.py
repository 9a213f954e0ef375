"""Long-sequence operators: pure mathematics, no parameters, one public function each.

Every operator has a readable reference, a portable PyTorch path that is fast on a CPU, and a Triton
path for GPUs; all agree, gradients included. The path is chosen by the `backend=` argument, else by
`use_backend`, else by the environment variable SEQSUITE_BACKEND, else by device, dtype and shape;
`explain_backend` tells the choice and why the others were not taken. Importing this package loads
neither torch nor triton. The folder of an operator carries a leading underscore because the
function itself has the name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.ops._causal_conv1d.op import causal_conv1d
    from seqsuite.ops._dispatch import Choice, Operator, explain_backend, operators, use_backend
    from seqsuite.ops._selective_scan.op import selective_scan
    from seqsuite.ops._seq import Seq

__all__ = [
    "Choice",
    "Operator",
    "Seq",
    "causal_conv1d",
    "explain_backend",
    "operators",
    "selective_scan",
    "use_backend",
]

_HOME = {
    "Choice": "_dispatch",
    "Operator": "_dispatch",
    "Seq": "_seq",
    "causal_conv1d": "_causal_conv1d.op",
    "explain_backend": "_dispatch",
    "operators": "_dispatch",
    "selective_scan": "_selective_scan.op",
    "use_backend": "_dispatch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
