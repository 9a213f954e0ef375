"""What every mixer asks of its input before it runs: axes, width, rows of the state, a `Seq`.

`Mixer` puts these in front of the views that a subclass defines, so that a wrong shape is told in the caller's
words and not in those of a matrix product inside, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqsuite.ops._seq import check_seq

if TYPE_CHECKING:
    from seqsuite.mixers.base import Mixer

View = Callable[..., Any]


def checked(name: str, view: View) -> View:
    """Return a view ("forward", "prefill" or "step") of a mixer that checks what it is given first.

    Raises (when called):
        TypeError: The input is no floating-point tensor, or `seq` no `Seq`.
        ValueError: A shape does not fit; the message names the argument, its shape and the one needed.
    """
    if name == "forward":

        @wraps(view)
        def forward(self: Mixer, x: Tensor, *, seq: Any = None, **options: Any) -> Any:
            _check_input(self, "x", x, ("B", "L"))
            check_seq(seq, x)
            return view(self, x, seq=seq, **options)

        return forward
    if name == "prefill":

        @wraps(view)
        def prefill(self: Mixer, x: Tensor, state: Any = None, *, seq: Any = None) -> Any:
            _check_input(self, "x", x, ("B", "L"))
            check_seq(seq, x)
            _check_state(self, state, len(x))
            return view(self, x, state, seq=seq)

        return prefill

    @wraps(view)
    def step(self: Mixer, x_t: Tensor, state: Any) -> Any:
        _check_input(self, "x_t", x_t, ("B",))
        _check_state(self, state, len(x_t))
        return view(self, x_t, state)

    return step


def _check_input(mixer: Mixer, name: str, x: Tensor, axes: tuple[str, ...]) -> None:
    owner = type(mixer).__name__
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, not {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{owner}: {name} must be floating-point, not {x.dtype}")
    if x.ndim != len(axes) + 1 or x.shape[-1] != mixer.d_model or 0 in x.shape[1:-1]:
        steps = " and L > 0" if "L" in axes else ""
        raise ValueError(
            f"{owner}: {name} must be ({', '.join(axes)}, D) with D = {mixer.d_model}{steps}, got {tuple(x.shape)}"
        )


def _check_state(mixer: Mixer, state: Any, rows: int) -> None:
    """Refuse a state of other rows: some parts would be broadcast."""
    if state is None:
        return
    if not isinstance(state, tuple):
        kind = "Tensor" if isinstance(state, torch.Tensor) else type(state).__name__
        raise TypeError(f"{type(mixer).__name__}: state must be what prefill, step or init_state returned, not {kind}")
    for place, part in enumerate(state):
        if isinstance(part, Tensor) and part.shape[:1] != (rows,):
            name = getattr(state, "_fields", range(len(state)))[place]
            raise ValueError(
                f"{type(mixer).__name__}: state.{name} must have the {rows} rows of the input, got {tuple(part.shape)}"
            )
