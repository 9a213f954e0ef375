"""The mixer contract: views of one function, explicit states, directions without flips.

`forward` over the whole sequence, `prefill` in chunks with the state carried, and `step` in a loop
give the same numbers; `sweep` is the view for a sequence that lies on disk. What is padded or packed
(`seq`) never changes a valid position, a causal mixer never looks ahead, rows of a batch do not see
each other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqsuite.mixers._checks import checked
from seqsuite.ops import Seq

State = tuple[Any, ...]
"""A NamedTuple of tensors (batch first), float32 or the model's float64: fork it freely."""

Read = Callable[[int, int], Tensor]
"""(start, end) -> the steps start .. end - 1 of a sequence that lies elsewhere: (B, end - start, D)."""

Scratch = Callable[..., Tensor]
"""``scratch(*shape)`` -> an uninitialised tensor on disk, of the sequence's dtype."""


class Mixer(nn.Module):
    """A sequence mixer, (B, L, D) to (B, L, D).

    Attributes:
        causal: Position t depends on positions up to t only. This and the two sets of names are a class's, or an
            instance's where they depend on its options.
        reversible: `forward` takes ``reverse=True`` and runs from right to left without copies.
        no_decay: Names of the parameters below that an optimiser must not decay.
        no_reinit: Names of the parameters below whose initial value a model must not redraw.

    A subclass ends its constructor with `mark_parameters`, which sets `_no_weight_decay` and `_no_reinit` on
    the parameters so named; optimisers and model initialisation look at these marks.
    """

    causal: bool = True
    reversible: ClassVar[bool] = False
    no_decay: frozenset[str] = frozenset()
    no_reinit: frozenset[str] = frozenset()

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model

    def __init_subclass__(cls, **options: Any) -> None:
        """Put a check of the input in front of the views that the subclass defines."""
        super().__init_subclass__(**options)
        for name in ("forward", "prefill", "step"):
            if name in cls.__dict__:
                setattr(cls, name, checked(name, cls.__dict__[name]))

    def mark_parameters(self) -> None:
        """Mark the parameters that the class names in `no_decay` and `no_reinit`."""
        for mark, names in (("_no_weight_decay", self.no_decay), ("_no_reinit", self.no_reinit)):
            for name in names:
                setattr(self.get_parameter(name), mark, True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mark the parameters of a copy: torch copies parameters without their attributes."""
        super().__setstate__(state)
        self.mark_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter anew from its initial distribution."""
        raise NotImplementedError

    def scale_output(self, factor: float) -> None:
        """Scale the initial output projection, in place.

        Args:
            factor: A stack gives 1 / sqrt(number of its residual branches), so that their sum keeps its size.
        """

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence.

        Args:
            x: (B, L, D).
            seq: Lengths, packing and resets of the batch.
            reverse: Run from right to left; only where `reversible`.

        Raises:
            TypeError: If x is no floating-point tensor, or `seq` no `Seq`.
            ValueError: If shapes do not fit, or there is no step. So for `prefill` and `step`, whose state must have
                the rows of the input.
        """
        raise NotImplementedError

    def prefill(self, x: Tensor, state: State | None = None, *, seq: Seq | None = None) -> tuple[Tensor, State]:
        """Mix a chunk of a sequence from a state to a state.

        Args:
            x: (B, L, D).
            state: The state before the chunk; None: the start. It is not changed.
            seq: Lengths, packing and resets of the chunk.

        Returns:
            The output (B, L, D), and the state behind the last valid step.

        Raises:
            NotImplementedError: The mixer has no recurrent form.
            TypeError: If an argument is of another kind.
            ValueError: If shapes do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no recurrent form")

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix one step.

        Args:
            x_t: (B, D).
            state: The state before the step; it is not changed.

        Returns:
            The output (B, D), and the state behind the step.

        Raises:
            NotImplementedError: The mixer has no recurrent form.
            TypeError: If an argument is of another kind.
            ValueError: If shapes do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no recurrent form")

    @property
    def recurrent(self) -> bool:
        """Whether the mixer has `prefill` and `step`: a state of constant size stands for all that went before."""
        return type(self).prefill is not Mixer.prefill

    def sweep(self, read: Read, out: Tensor, *, chunk: int, scratch: Scratch) -> None:
        """Mix a sequence that is longer than memory, chunk by chunk: the same numbers as `forward`.

        Args:
            read: Gives the input's chunks, on the mixer's device; each may be asked for more than once.
            out: (B, L, D), memory-mapped: takes the output. Not the memory that `read` reads.
            chunk: Steps in memory at once.
            scratch: Makes room on disk for what lies between.
        """
        state: State | None = None
        for start, end in chunks(out.shape[1], chunk):
            y, state = self.prefill(read(start, end), state)
            out[:, start:end] = y.to(out.device)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> State:
        """Return the state before the first step.

        Args:
            batch_size: B.
            device: Where the state lives.
            dtype: The model's dtype; the state is float32, or float64 for a float64 model.
            max_length: Longest sequence to come; only mixers whose state grows need it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no recurrent form")


class ProjectedMixer(Mixer):
    """A mixer of the form ``contract(mix(expand(x)))`` with position-wise linear ends.

    Two directions that share the ends compute them once (`seqsuite.backbones.Bidirectional`).

    Attributes:
        in_proj: What `expand` projects with; None once it was given up.
        out_proj: What `contract` projects with; None once it was given up.
    """

    in_proj: nn.Linear | None
    out_proj: nn.Linear | None

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `out_proj.weight`; see `Mixer.scale_output`."""
        if self.out_proj is not None:
            self.out_proj.weight.mul_(factor)

    @property
    def recurrent(self) -> bool:
        """Whether the mixer has `mix_from`, and with it `prefill` and `step`."""
        return type(self).mix_from is not ProjectedMixer.mix_from

    def prefill(self, x: Tensor, state: State | None = None, *, seq: Seq | None = None) -> tuple[Tensor, State]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        y, after = self.mix_from(self.expand(x), state, seq=seq)
        return self.contract(y), after

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project the input to the inner streams.

        Args:
            x: (B, L, D), or (B, D) for one step.

        Returns:
            Tensors (B, L, ...) or (B, ...), whatever `mix` takes.
        """
        raise NotImplementedError

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix the inner streams along the sequence.

        Args:
            inner: What `expand` made.
            seq: Lengths, packing and resets of the batch.
            reverse: Run from right to left; only where `reversible`.

        Returns:
            (B, L, inner width).
        """
        raise NotImplementedError

    def mix_from(
        self, inner: tuple[Tensor, ...], state: State | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, State]:
        """Mix a chunk of the inner streams from a state to a state: `prefill` without the projections.

        Args:
            inner: What `expand` made.
            state: The state before the chunk; None: the start.
            seq: Lengths, packing and resets of the chunk.

        Returns:
            (B, L, inner width), and the state behind the chunk.

        Raises:
            NotImplementedError: The mixer has no recurrent form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no recurrent form")

    def contract(self, y: Tensor) -> Tensor:
        """Project the mixed streams back.

        Args:
            y: (B, L, inner width), or (B, inner width).

        Returns:
            (B, L, D), or (B, D).
        """
        assert self.out_proj is not None
        return self.out_proj(y)

    def contract_sum(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``contract(first) + contract(second)`` in one projection: the bias counts for each summand."""
        out = self.contract(first + second)
        bias = self.out_proj.bias if self.out_proj is not None else None
        return out if bias is None else out + bias

    def drop_projections(self) -> None:
        """Give up the own `in_proj` and `out_proj`: a partner's are used in their place."""
        self.in_proj = self.out_proj = None

    def behind_projections_of(self, owner: ProjectedMixer) -> ProjectedMixer:
        """Return this mixer with another's `expand` and `contract`: a view that shares all parameters.

        For `sweep`, whose projections are within; the views that the mixer has by itself are the view's as well.
        """
        view = copy.copy(self)
        view.expand = owner.expand  # type: ignore[method-assign]
        view.contract = owner.contract  # type: ignore[method-assign]
        return view

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        return self.contract(self.mix(self.expand(x), seq=seq, reverse=reverse))


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the precision of states and recurrences in a model of that dtype: float32 at least."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def at_least_float32(x: Tensor) -> Tensor:
    """Return x in float32, or float64 if it is: recurrences are not computed in less."""
    return x.to(state_dtype(x.dtype))


def chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of consecutive chunks; the last one may be shorter."""
    if size < 1:
        raise ValueError(f"a chunk needs at least one step, got {size}")
    for start in range(0, length, size):
        yield start, min(start + size, length)


def reverse_seq(seq: Seq | None) -> Seq | None:
    """Return the `Seq` of the same batch read from right to left."""
    if seq is None:
        return None
    valid = None if seq.valid is None else seq.valid.flip(1)
    segment = None if seq.segment is None else (seq.segment[:, -1:] - seq.segment).flip(1)
    side = {"right": "left", "left": "right", None: None}[seq.side]
    return Seq(valid, segment, side if valid is not None else "right")  # type: ignore[arg-type]


def run_reversed(mixer: Mixer, x: Tensor, *, seq: Seq | None = None) -> Tensor:
    """Run a mixer from right to left: in place where it can, on flipped copies where it cannot."""
    if mixer.reversible:
        return mixer(x, seq=seq, reverse=True)
    return mixer(x.flip(1), seq=reverse_seq(seq)).flip(1)


def parameters_marked(module: nn.Module, mark: str) -> set[str]:
    """Return the names of a module's parameters that carry a mark: "_no_weight_decay" or "_no_reinit"."""
    return {name for name, parameter in module.named_parameters() if getattr(parameter, mark, False)}
