"""The residual stack: add, normalise, mix, with the sum carried beside the branch.

A block returns its mixer's output and the residual stream before that output is added; the next block
(and the final norm) adds it. That is the order of the published Mamba models and what lets the
stream stay in float32 under lower precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqsuite.mixers.base import Mixer, Scratch, State, chunks
from seqsuite.ops import Seq
from seqsuite.ops._debug import looked


class Block(nn.Module):
    """Add to the stream, normalise, mix: (hidden, residual) to (hidden, residual).

    Args:
        mixer: From (B, L, D) to (B, L, D).
        norm: From the stream's dtype to the mixer's.
        residual_in_fp32: Keep the stream in float32.
    """

    def __init__(self, mixer: Mixer, norm: nn.Module, *, residual_in_fp32: bool = False) -> None:
        super().__init__()
        self.norm = norm
        self.mixer = mixer
        self.residual_in_fp32 = residual_in_fp32

    def add(self, hidden: Tensor, residual: Tensor | None) -> Tensor:
        """Add a branch to the stream.

        Args:
            hidden: (B, L, D) the branch: the block before, or the embedding.
            residual: (B, L, D) the stream; None before the first block.

        Returns:
            The stream (B, L, D), float32 where the block keeps it so.
        """
        total = hidden if residual is None else hidden + residual
        return total.float() if self.residual_in_fp32 and total.dtype != torch.float64 else total

    def forward(self, hidden: Tensor, residual: Tensor | None, *, seq: Seq | None = None) -> tuple[Tensor, Tensor]:
        """Run one block.

        Args:
            hidden: (B, L, D) the branch of the block before.
            residual: (B, L, D) the stream; None before the first block.
            seq: Lengths, packing and resets of the batch.

        Returns:
            The branch and the stream, each (B, L, D).
        """
        residual = self.add(hidden, residual)
        return self.mixer(self.norm(residual), seq=seq), residual

    def prefill(
        self, hidden: Tensor, residual: Tensor | None, state: State | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Run one block over a chunk, from a state to a state.

        Args:
            hidden: (B, L, D) the branch of the block before.
            residual: (B, L, D) the stream; None before the first block.
            state: The mixer's before the chunk; None: the start.
            seq: Lengths, packing and resets of the chunk.

        Returns:
            The branch and the stream, each (B, L, D), and the mixer's state behind the chunk.
        """
        residual = self.add(hidden, residual)
        hidden, after = self.mixer.prefill(self.norm(residual), state, seq=seq)
        return hidden, residual, after

    def step(self, hidden: Tensor, residual: Tensor | None, state: State) -> tuple[Tensor, Tensor, State]:
        """Run one block over one step: `prefill` with (B, D)."""
        residual = self.add(hidden, residual)
        hidden, after = self.mixer.step(self.norm(residual), state)
        return hidden, residual, after

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> State:
        """Return the mixer's state before the first step; see `Mixer.init_state`."""
        return self.mixer.init_state(batch_size, device=device, dtype=dtype, max_length=max_length)

    @property
    def recurrent(self) -> bool:
        """Whether the block can run chunk after chunk with a state: whether its mixer can."""
        return self.mixer.recurrent

    def sweep(self, hidden: Tensor, residual: Tensor | None, *, chunk: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        """Run one block over (B, L, D) on disk, `chunk` steps at once; both tensors are overwritten."""
        hidden, residual = self.add_on_disk(hidden, residual, chunk=chunk, scratch=scratch)
        device = next(self.parameters()).device
        stream = residual
        self.mixer.sweep(
            lambda start, end: self.norm(stream[:, start:end].to(device)), hidden, chunk=chunk, scratch=scratch
        )
        return hidden, residual

    def add_on_disk(
        self, hidden: Tensor, residual: Tensor | None, *, chunk: int, scratch: Scratch
    ) -> tuple[Tensor, Tensor]:
        """Return room for the branch, and the stream with the branch added: `add` for tensors on disk."""
        if residual is None:
            return scratch(*hidden.shape), hidden
        for start, end in chunks(hidden.shape[1], chunk):
            residual[:, start:end] += hidden[:, start:end]
        return hidden, residual


class ResidualStack(nn.Module):
    """Blocks and a final norm, (B, L, D) to (B, L, D); three views where the mixers have them.

    Args:
        blocks: Called one after the other with ``(hidden, residual, seq=)``.
        norm_f: The final norm.

    Attributes:
        checkpoint_activations: In `forward`, keep each block's input only and run the block again in the
            backward pass (Chen et al. 2016). The gradients are the same, bit for bit.
    """

    def __init__(self, blocks: Iterable[Block], norm_f: nn.Module) -> None:
        super().__init__()
        self.checkpoint_activations = False
        self.layers = nn.ModuleList(blocks)
        self.norm_f = norm_f

    def forward(self, x: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Run every block and normalise.

        Args:
            x: (B, L, D).
            seq: Lengths, packing and resets of the batch.

        Returns:
            The features (B, L, D).
        """
        hidden, residual = x, None
        for index, block in enumerate(self.layers):
            run: Any = partial(block, seq=seq)
            if self.checkpoint_activations and torch.is_grad_enabled():
                run = partial(checkpoint, run, use_reentrant=False)
            hidden, residual = self._look(index, run, hidden, residual)
        return self._finish(hidden, residual)

    def prefill(
        self, x: Tensor, state: Sequence[State] | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Run a chunk from a state to a state.

        Args:
            x: (B, L, D).
            state: One of each block's mixer; None: the start.
            seq: Lengths, packing and resets of the chunk.

        Returns:
            The normalised features (B, L, D), and the state of each block behind the chunk.

        Raises:
            ValueError: If the state is not one a block, or shapes do not fit.
        """
        self._require_states(state)
        hidden, residual, states = x, None, []
        for index, block in enumerate(self.layers):
            run: Any = partial(block.prefill, seq=seq)  # type: ignore
            before = None if state is None else state[index]
            hidden, residual, after = self._continue(index, run, hidden, residual, before)
            states.append(after)
        return self._finish(hidden, residual), tuple(states)

    def step(self, x_t: Tensor, state: Sequence[State]) -> tuple[Tensor, tuple[State, ...]]:
        """Run one step.

        Args:
            x_t: (B, D).
            state: One of each block's mixer.

        Returns:
            The normalised features (B, D), and the state of each block behind the step.

        Raises:
            ValueError: If the state is not one a block, or shapes do not fit.
        """
        self._require_states(state)
        hidden, residual, states = x_t, None, []
        for index, (block, before) in enumerate(zip(self.layers, state, strict=True)):
            run: Any = block.step
            hidden, residual, after = self._continue(index, run, hidden, residual, before)
            states.append(after)
        return self._finish(hidden, residual), tuple(states)

    @torch.no_grad()
    def sweep(self, x: Tensor, *, chunk: int, scratch: Scratch) -> Tensor:
        """Run every block over a sequence that is longer than memory: the numbers of `forward`, without gradients.

        Recurrent blocks run chunk by chunk from state to state; of the others each sweeps over the whole
        sequence, and what lies between two of them stays on disk.

        Args:
            x: (B, L, D), memory-mapped (`seqsuite.data.Spill`); overwritten.
            chunk: Steps in memory at once.
            scratch: Makes room on disk.

        Returns:
            (B, L, D) normalised features, memory-mapped.
        """
        device = next(self.norm_f.parameters()).device
        if all(block.recurrent for block in self.layers):
            state = None
            for start, end in chunks(x.shape[1], chunk):
                y, state = self.prefill(x[:, start:end].to(device), state)
                x[:, start:end] = y.to(x.device)
            return x
        hidden, residual = x, None
        for block in self.layers:
            hidden, residual = block.sweep(hidden, residual, chunk=chunk, scratch=scratch)  # type: ignore[operator]
        for start, end in chunks(x.shape[1], chunk):
            rest = None if residual is None else residual[:, start:end].to(device)
            hidden[:, start:end] = self._finish(hidden[:, start:end].to(device), rest).to(hidden.device)
        return hidden

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> tuple[State, ...]:
        """Return each block's state before the first step; see `Mixer.init_state`."""
        return tuple(
            block.init_state(batch_size, device=device, dtype=dtype, max_length=max_length)  # type: ignore[operator]
            for block in self.layers
        )

    def _require_states(self, state: Sequence[State] | None) -> None:
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"state must have one part for each of the {len(self.layers)} blocks, got {len(state)}")

    def _look(self, index: int, run: Callable[..., Any], x: Tensor, *rest: Any) -> Any:
        """Run a layer; under SEQSUITE_DEBUG=nan say where the first NaN or infinity comes from."""
        return looked(f"layer {index}, {type(self.layers[index].mixer).__name__}", run, x, *rest)

    def _continue(
        self, index: int, run: Callable[..., Any], hidden: Tensor, residual: Tensor | None, before: State | None
    ) -> tuple[Tensor, Tensor, State]:
        """Run a layer from a state to a state, and look at it as `_look` does."""
        stream: list[Tensor] = []

        def branch(hidden: Tensor, before: State | None) -> tuple[Tensor, State]:
            found, total, after = run(hidden, residual, before)
            stream.append(total)
            return found, after

        hidden, after = self._look(index, branch, hidden, before)
        return hidden, stream[0], after

    def _finish(self, hidden: Tensor, residual: Tensor | None) -> Tensor:
        return self.norm_f(hidden if residual is None else hidden + residual)
