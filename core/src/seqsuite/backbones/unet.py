"""A pooled backbone: blocks at several rates with skips between them (SaShiMi, Goel et al. 2022, arXiv 2202.09729).

    tier(x):  h = blocks(x);  y = tier below(pool(h));  z = blocks(unpool(y) + h) + skips
    blocks = residual_blocks("s4", 2)                   # a function of the width, called once a tier and side
    backbone = PooledBackbone(64, blocks, pool=(4, 4), unet=True)

Pooling joins p steps into one that is wider. On the way back a pooled step speaks to the p steps behind it (the
shift), so nothing looks ahead: `prefill` takes chunks of any length, `step` single ones, and a tier works only
when its step is complete. Rows may be of unequal length, padded on the right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqsuite.backbones._pooled_rows import (
    Recorder,
    first_states,
    gather,
    on_trees,
    replace_rows,
    right_padded,
    row_lengths,
    within,
)
from seqsuite.backbones.pooled_layers import Blocks, DownPool, ResidualBlock, UpPool, layer_norm
from seqsuite.mixers.base import State, state_dtype
from seqsuite.ops import Seq
from seqsuite.ops._debug import looked, watching


class TierState(NamedTuple):
    """What a tier carries, without the tiers below it.

    Attributes:
        down: States of the blocks in front of the pooling.
        up: States of the blocks behind the unpooling.
        pending: (B, p, D) steps that wait for their pool to fill; zeros where none has come yet.
        ready: (B, p, D) what the last complete pooled step says to the present p steps.
        phase: (B,) int64, how many of them are over: 0 to p - 1.
    """

    down: tuple[State, ...]
    up: tuple[State, ...]
    pending: Tensor
    ready: Tensor
    phase: Tensor


class PooledState(NamedTuple):
    """What the backbone carries from step to step; all tensors batch first.

    Attributes:
        tiers: The tiers from the outermost inwards.
        centre: States of the innermost blocks.
    """

    tiers: tuple[TierState, ...]
    centre: tuple[State, ...]


class PooledBackbone(nn.Module):
    """Blocks at several rates, (B, L, D) to (B, L, D), at any length L.

    Args:
        d_model: Width D at the full rate.
        blocks: From a width to the blocks of a tier on one side (`residual_blocks`).
        pool: By how much each tier divides the rate, from the outermost inwards.
        expand: By how much each multiplies the width.
        unet: Blocks on the way down too, and a skip from each module to its mirror; else one skip around each
            tier's blocks (S-net).
        shift: See `UpPool`. Without it nothing is causal.
        norm_f: The final norm; None: a layer norm.

    Attributes:
        down_blocks: Blocks of each tier in front of its pooling; empty in an S-net.
        down_pools: The tiers' poolings.
        centre: The innermost blocks.
        up_pools: The tiers' unpoolings.
        up_blocks: Blocks of each tier behind its unpooling.
        checkpoint_activations: In `forward`, keep each block's input only and run the block again in the
            backward pass.
    """

    def __init__(
        self,
        d_model: int,
        blocks: Blocks,
        *,
        pool: Sequence[int] = (4, 4),
        expand: int = 2,
        unet: bool = False,
        shift: bool = True,
        norm_f: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.d_model, self.pool, self.unet, self.shift = d_model, tuple(pool), unet, shift
        self.checkpoint_activations = False
        widths = [d_model * expand**tier for tier in range(len(self.pool) + 1)]
        self.down_blocks, self.down_pools = nn.ModuleList(), nn.ModuleList()
        self.up_pools, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        for outer, inner, factor in zip(widths[:-1], widths[1:], self.pool, strict=True):
            self.down_blocks.append(nn.ModuleList(blocks(outer) if unet else ()))
            self.down_pools.append(DownPool(outer, inner, factor))
            self.up_pools.append(UpPool(inner, outer, factor, shift=shift))
            self.up_blocks.append(nn.ModuleList(blocks(outer)))
        self.centre = nn.ModuleList(blocks(widths[-1]))
        self.norm_f = layer_norm(d_model) if norm_f is None else norm_f
        self.widths = tuple(widths)

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        mixing = [module for module in self.modules() if isinstance(module, ResidualBlock)]
        return (self.shift or not self.pool) and all(block.causal for block in mixing)

    @property
    def total_pool(self) -> int:
        """Steps of one step of the innermost tier."""
        return math.prod(self.pool)

    def forward(self, x: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Run over whole sequences.

        Args:
            x: (B, L, D).
            seq: Lengths of rows padded on the right; what is padded changes nothing.

        Raises:
            UserError: Rows are padded elsewhere, or packed.
        """
        return self.norm_f(self._whole(0, x, row_lengths(seq, x)))

    def _whole(self, tier: int, x: Tensor, lengths: Tensor | None) -> Tensor:
        run: Any = partial(self._run, seq=right_padded(lengths, x.shape[1]))
        if tier == len(self.pool):
            return x + self._through(self.centre, x, run)[-1]
        factor, length = self.pool[tier], x.shape[1]
        skips = [x, *self._through(self.down_blocks[tier], x, run)]
        # The last pooled step may be in part beyond the end: there it sees zeros.
        h = skips[-1] if lengths is None else skips[-1].masked_fill(~within(lengths, length)[..., None], 0)
        h = F.pad(h, (0, 0, 0, -length % factor))
        inner = None if lengths is None else (lengths + factor - 1) // factor
        y = self._whole(tier + 1, self.down_pools[tier](h), inner)
        z = self.up_pools[tier](y)[:, :length] + skips.pop()
        return self._ascend(tier, z, skips, run)

    def _ascend(self, tier: int, z: Tensor, skips: list[Tensor], run: Callable[..., Tensor]) -> Tensor:
        """Run the blocks of a tier on the way up, with its skips."""
        if not self.unet:
            return z + self._through(self.up_blocks[tier], z, run)[-1]
        blocks: Any = self.up_blocks[tier]
        for block in blocks:
            z = self._look(run, block, z) + skips.pop()
        return z

    def _through(self, blocks: Any, x: Tensor, run: Callable[..., Tensor]) -> list[Tensor]:
        """Return what each block gives, one running on the other's."""
        given = []
        for block in blocks:
            x = self._look(run, block, x)
            given.append(x)
        return given

    def _look(self, run: Callable[..., Tensor], block: nn.Module, x: Tensor) -> Tensor:
        """Run a block; under SEQSUITE_DEBUG=nan say where the first NaN or infinity comes from."""
        if not watching():
            return run(block, x)
        place = next(name for name, module in self.named_modules() if module is block)
        out: Tensor = looked(f"layer {place}, {type(block.layer).__name__}", partial(run, block), x)
        return out

    def _run(self, block: nn.Module, x: Tensor, *, seq: Seq | None) -> Tensor:
        if self.checkpoint_activations and torch.is_grad_enabled():
            again: Tensor = checkpoint(partial(block, seq=seq), x, use_reentrant=False)
            return again
        out: Tensor = block(x, seq=seq)
        return out

    def prefill(
        self, x: Tensor, state: PooledState | None = None, *, seq: Seq | None = None
    ) -> tuple[Tensor, PooledState]:
        """Run over a chunk of any length from a state to a state.

        Args:
            x: (B, L, D), L above 0.
            state: Behind the steps before; None: there are none.
            seq: Lengths of rows padded on the right; each row's state is that behind its last step.

        Raises:
            UserError: Rows are padded elsewhere, or packed.
            NotImplementedError: The backbone looks ahead.
        """
        self._demand_recurrence()
        fresh = state is None
        if state is None:
            state = self.init_state(len(x), device=x.device, dtype=x.dtype)
        y, after = self._chunk(0, x, state, row_lengths(seq, x), fresh)
        return self.norm_f(y), after

    def _chunk(
        self, tier: int, x: Tensor, state: PooledState, lengths: Tensor | None, fresh: bool
    ) -> tuple[Tensor, PooledState]:
        seq, length = right_padded(lengths, x.shape[1]), x.shape[1]
        if tier == len(self.pool):
            keep = Recorder("prefill", state.centre, fresh=fresh, seq=seq)
            return x + self._through(self.centre, x, keep)[-1], PooledState((), tuple(keep.after))
        factor, here = self.pool[tier], state.tiers[0]
        keep = Recorder("prefill", here.down, fresh=fresh, seq=seq)
        skips = [x, *self._through(self.down_blocks[tier], x, keep)]
        h = skips.pop()

        # Per row: what was pending, then the chunk; whole pools go down, the rest is pending.
        own = torch.full_like(here.phase, length) if lengths is None else lengths
        total = here.phase + own
        frames = total // factor
        most = int(frames.max())
        place = torch.arange((most + 1) * factor, device=x.device).expand(len(x), -1)
        index = torch.where(place < here.phase[:, None], place, factor + place - here.phase[:, None])
        row = gather(torch.cat((here.pending.to(h.dtype), h), 1), index.clamp(max=factor + length - 1))
        row = row.masked_fill(~within(total, row.shape[1])[..., None], 0)
        inner, said = PooledState(state.tiers[1:], state.centre), here.ready.to(h.dtype)
        if most:
            ends = None if bool((frames == most).all()) else frames
            y, inner = self._chunk(tier + 1, self.down_pools[tier](row[:, : most * factor]), inner, ends, fresh)
            said = torch.cat((said, self.up_pools[tier].expand(y)), 1)  # type: ignore[operator]

        now = here.phase[:, None] + torch.arange(length, device=x.device)
        z = gather(said, now.clamp(max=said.shape[1] - 1)) + h
        keep_up = Recorder("prefill", here.up, fresh=fresh, seq=seq)
        z = self._ascend(tier, z, skips, keep_up)
        behind = (frames * factor)[:, None] + torch.arange(factor, device=x.device)
        after = TierState(
            tuple(keep.after),
            tuple(keep_up.after),
            gather(row, behind).to(here.pending.dtype),
            gather(said, behind).to(here.ready.dtype),
            total - frames * factor,
        )
        return z, PooledState((after, *inner.tiers), inner.centre)

    def step(self, x_t: Tensor, state: PooledState) -> tuple[Tensor, PooledState]:
        """Run one step (B, D). Rows may stand at different places of their pools.

        Raises:
            NotImplementedError: The backbone looks ahead.
        """
        self._demand_recurrence()
        y, after = self._tick(0, x_t, state)
        return self.norm_f(y), after

    def _tick(self, tier: int, x: Tensor, state: PooledState) -> tuple[Tensor, PooledState]:
        if tier == len(self.pool):
            keep = Recorder("step", state.centre)
            return x + self._through(self.centre, x, keep)[-1], PooledState((), tuple(keep.after))
        factor, here = self.pool[tier], state.tiers[0]
        keep, keep_up = Recorder("step", here.down), Recorder("step", here.up)
        skips = [x, *self._through(self.down_blocks[tier], x, keep)]
        h = skips.pop()
        at = (torch.arange(factor, device=x.device) == here.phase[:, None])[..., None]  # (B, p, 1)
        z = (here.ready * at).sum(1).to(h.dtype) + h
        z = self._ascend(tier, z, skips, keep_up)

        pending = torch.where(at, h[:, None].to(here.pending.dtype), here.pending)
        inner, ready, phase = PooledState(state.tiers[1:], state.centre), here.ready, here.phase + 1
        full = phase == factor
        if bool(full.any()):
            rows = None if bool(full.all()) else full.nonzero()[:, 0]
            chosen = inner if rows is None else on_trees(lambda part: part[rows], inner)
            joined = self.down_pools[tier](pending if rows is None else pending[rows])[:, 0]  # one pooled step
            y, moved = self._tick(tier + 1, joined.to(h.dtype), chosen)
            said = self.up_pools[tier].expand(y[:, None]).to(ready.dtype)  # type: ignore[operator]
            put = partial(replace_rows, rows=rows)
            inner, ready = on_trees(put, inner, moved), put(ready, said)
            pending = pending.masked_fill(full[:, None, None], 0)
            phase = phase.masked_fill(full, 0)
        after = TierState(tuple(keep.after), tuple(keep_up.after), pending, ready, phase)
        return z, PooledState((after, *inner.tiers), inner.centre)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> PooledState:
        """Return the state before the first step; see `Mixer.init_state`."""
        self._demand_recurrence()
        rate, tiers = 1, []
        for tier, factor in enumerate(self.pool):
            make = partial(first_states, batch_size=batch_size, device=device, dtype=dtype, steps=max_length, rate=rate)
            zeros = torch.zeros(batch_size, factor, self.widths[tier], device=device, dtype=state_dtype(dtype))
            phase = torch.zeros(batch_size, dtype=torch.int64, device=device)
            tiers.append(TierState(make(self.down_blocks[tier]), make(self.up_blocks[tier]), zeros, zeros, phase))
            rate *= factor
        centre = first_states(
            self.centre, batch_size=batch_size, device=device, dtype=dtype, steps=max_length, rate=rate
        )
        return PooledState(tuple(tiers), centre)

    def _demand_recurrence(self) -> None:
        if not self.causal:
            raise NotImplementedError(f"a {type(self).__name__} that looks ahead has no recurrent form")
