"""Both directions: a wrapper around any mixer, not a flag in each of them.

The reverse member runs from right to left inside the operators, so nothing is flipped or copied
where the mixer is `reversible`. A packed or padded batch keeps its `seq` in both directions.
"""

from __future__ import annotations

import copy
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer, ProjectedMixer, Read, Scratch, chunks, run_reversed
from seqsuite.ops import Seq

Combine = Literal["add", "multiply", "concat"]
Tie = Literal["none", "projections", "all"]


class Bidirectional(Mixer):
    """Run a mixer in both directions and combine the two outputs.

    Args:
        mixer: The left-to-right member. The right-to-left member is a freshly drawn copy of it.
        combine: Sum, product, or a learned linear map of the concatenation back to D.
        tie: What the members share: nothing, the position-wise ends of a `ProjectedMixer` (as Caduceus
            does; they are then computed once for both directions), or all parameters.

    A shared tensor appears once in the state dict, under `forward_mixer`.
    """

    causal: bool = False
    reversible: ClassVar[bool] = False

    def __init__(self, mixer: Mixer, combine: Combine = "add", tie: Tie = "none") -> None:
        super().__init__(mixer.d_model)
        if tie == "projections" and not isinstance(mixer, ProjectedMixer):
            raise UserError(f"Bidirectional: {type(mixer).__name__} has no projections to tie; use tie='none' or 'all'")
        self.combine, self.tie = combine, tie
        self.forward_mixer = mixer
        self.reverse_mixer: Mixer | None = None
        if tie != "all":
            self.reverse_mixer = copy.deepcopy(mixer)
            if tie == "projections":
                self.reverse_mixer.drop_projections()  # type: ignore[operator]
            self.reverse_mixer.reset_parameters()
        self.merge = nn.Linear(2 * mixer.d_model, mixer.d_model, bias=False) if combine == "concat" else None

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        for module in (self.forward_mixer, self.reverse_mixer, self.merge):
            if module is not None:
                module.reset_parameters()  # type: ignore[operator]

    def scale_output(self, factor: float) -> None:
        """Scale both members; see `Mixer.scale_output`."""
        for member in (self.forward_mixer, self.reverse_mixer):
            if member is not None:
                member.scale_output(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix (B, L, D) in both directions; see `Mixer.forward`."""
        if reverse:
            return run_reversed(self, x, seq=seq)
        if self.tie == "projections" or (self.tie == "all" and isinstance(self.forward_mixer, ProjectedMixer)):
            return self._forward_shared(x, seq)
        left_to_right = self.forward_mixer(x, seq=seq)
        right_to_left = run_reversed(self.reverse_mixer or self.forward_mixer, x, seq=seq)
        return self._combined(left_to_right, right_to_left)

    def _forward_shared(self, x: Tensor, seq: Seq | None) -> Tensor:
        """Project once: in at the front, and out once more where the combination is linear."""
        outer = self.forward_mixer
        inner_reverse = self.reverse_mixer or outer
        assert isinstance(outer, ProjectedMixer)
        assert isinstance(inner_reverse, ProjectedMixer)
        inner = outer.expand(x)
        left_to_right = outer.mix(inner, seq=seq)
        right_to_left = inner_reverse.mix(inner, seq=seq, reverse=True)
        if self.combine == "add":
            return outer.contract_sum(left_to_right, right_to_left)
        return self._combined(outer.contract(left_to_right), outer.contract(right_to_left))

    def sweep(self, read: Read, out: Tensor, *, chunk: int, scratch: Scratch) -> None:
        """Mix a sequence on disk: the right-to-left member into scratch, then the other; see `Mixer.sweep`."""
        length = out.shape[1]
        member = self.reverse_mixer or self.forward_mixer
        if self.tie == "projections":
            assert isinstance(self.forward_mixer, ProjectedMixer)
            assert isinstance(member, ProjectedMixer)
            member = member.behind_projections_of(self.forward_mixer)
        backwards = scratch(*out.shape)
        member.sweep(
            lambda start, end: read(length - end, length - start).flip(1), backwards, chunk=chunk, scratch=scratch
        )
        self.forward_mixer.sweep(read, out, chunk=chunk, scratch=scratch)
        for start, end in chunks(length, chunk):
            other = backwards[:, length - end : length - start].flip(1)
            device = next(self.parameters()).device
            out[:, start:end] = self._combined(out[:, start:end].to(device), other.to(device)).to(out.device)

    def _combined(self, left_to_right: Tensor, right_to_left: Tensor) -> Tensor:
        if self.combine == "add":
            return left_to_right + right_to_left
        if self.combine == "multiply":
            return left_to_right * right_to_left
        assert self.merge is not None
        return self.merge(torch.cat((left_to_right, right_to_left), dim=-1))
