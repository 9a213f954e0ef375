"""RATE, the Recurrent Action Transformer with Memory (Cherepanov et al. 2023), over consecutive segments.

    predicted, memory = model(states, actions, returns_to_go, timesteps)                    # any number of segments
    predicted, later = model(..., memory=memory)                                            # the next ones

https://arxiv.org/abs/2306.09459. A trajectory is cut into segments of K steps. The M memory tokens stand in front of a
segment's tokens, to be read, and again behind them, to be written: under a causal mixer those see the whole segment.
What is found there, through the memory retention valve, is the memory of the next segment; gradients flow through it
from segment to segment, so that it is trained over several consecutive ones.

Known from the paper are this scheme and the valve as a cross attention with the old memory as queries. Reconstructed,
because no reference numbers exist: the memory begins at N(0, 1), the size of the normalised tokens beside it; memory
tokens see each other causally; the valve is one attention layer with four projections, without residual or norm, whose
weights begin at Xavier's scale (at torch's smaller one a memory fades within a segment and is not learned); a step's
time is its place in the segment (`position="window"`), which alone holds beyond the training length; cached hidden
states are the keys and values of the segments before, memory tokens included, without gradient.

Episodes of different lengths, some of one segment, teach a memory far quicker than long ones alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqrl.configs.models import RATEConfig
from seqrl.models.decision_transformer_parts import StepTokens, pick, policy_stack, valid_steps_first
from seqrl.models.heads import PolicyHeads, PolicyOutputs
from seqsuite.models.base import Model, settle_mixer
from seqsuite.ops import Seq


class Memory(NamedTuple):
    """What RATE carries from segment to segment.

    Attributes:
        tokens: (B, M, D).
        state: The mixers' states, one a block, where `cached_segments` is above 0; else None.
    """

    tokens: Tensor
    state: tuple[tuple[Tensor, ...], ...] | None

    def where(self, rows: Tensor, other: Memory) -> Memory:
        """Return this memory in some rows (B,) bool and another one's in the rest."""

        def choose(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(rows.view(-1, *[1] * (one.ndim - 1)), one, two)

        tokens = choose(self.tokens, other.tokens)
        if self.state is None or other.state is None:
            return Memory(tokens, self.state if other.state is None else other.state)
        pairs = zip(self.state, other.state, strict=True)
        return Memory(tokens, tuple(_rebuilt(a, map(choose, a, b)) for a, b in pairs))


class MemoryRetentionValve(nn.Module):
    """Cross attention from the old memory, as queries, to the new: decides what of it is carried on.

    Args:
        width: D.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, old: Tensor, new: Tensor) -> Tensor:
        """Return the memory to carry on (B, M, D), of the old and the new one."""
        given = self.query(old), self.key(new), self.value(new)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in given)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class RATE(Model):
    """A Decision Transformer with a memory between segments.

    Args:
        config: Sizes, mixer, memory and what an agent must know of the environment; `context` is a segment's K.
    """

    config: RATEConfig

    def __init__(self, config: RATEConfig) -> None:
        super().__init__(settle_mixer(config))
        config = self.config
        self.tokens = StepTokens(config)
        seen = (1 + config.cached_segments) * (config.tokens * config.context + 2 * config.memory_tokens)
        self.backbone = policy_stack(config, {"window": seen} if config.cached_segments else None)
        self.memory = nn.Parameter(torch.randn(config.memory_tokens, config.d_model))
        self.valve = MemoryRetentionValve(config.d_model, config.valve_heads) if config.valve else None
        self.heads = PolicyHeads(config)

    @property
    def needs_target(self) -> bool:
        """Whether an agent must be told what return to reach."""
        return self.config.condition_on_returns

    def init_memory(self, batch_size: int) -> Memory:
        """Return the memory before the first segment."""
        tokens = self.memory.expand(batch_size, -1, -1)
        if not self.config.cached_segments:
            return Memory(tokens, None)
        return Memory(tokens, self.backbone.init_state(batch_size, device=tokens.device, dtype=tokens.dtype))

    def forward(  # type: ignore[override]
        self,
        states: Tensor,
        actions: Tensor,
        returns_to_go: Tensor,
        timesteps: Tensor,
        *,
        mask: Tensor | None = None,
        memory: Memory | None = None,
    ) -> tuple[PolicyOutputs, Memory]:
        """Predict what follows each step of one or more segments.

        Args:
            states: (B, L, W) or pixels (B, L, *S); steps 0 .. K - 1 are a segment, the next K another, and so on;
                the last one may be shorter.
            actions: (B, L, A) or (B, L) int64.
            returns_to_go: (B, L, R).
            timesteps: (B, L) int64.
            mask: (B, L), True where a step is real; None: all are. A row without a real step in a segment keeps its
                memory.
            memory: Behind the segments before; None: there were none.

        Returns:
            The predictions, and the memory behind the last segment. An agent in the middle of a segment gives the
            segment's steps so far with the memory before it, and keeps the new one once the segment is full.
        """
        context = self.config.context
        memory = self.init_memory(len(states)) if memory is None else memory
        given = (states, actions, returns_to_go, timesteps)
        found = []
        for start in range(0, states.shape[1], context):
            part = slice(start, start + context)
            own = None if mask is None else mask[:, part]
            features, memory = self.forward_segment(*(x[:, part] for x in given), mask=own, memory=memory)
            found.append(features)
        return self.heads(found[0] if len(found) == 1 else torch.cat(found, 1)), memory

    def forward_segment(
        self,
        states: Tensor,
        actions: Tensor,
        returns_to_go: Tensor,
        timesteps: Tensor,
        *,
        mask: Tensor | None,
        memory: Memory,
    ) -> tuple[Tensor, Memory]:
        """Return the features (B, K, T, D) of one segment and the memory behind it; see `forward`."""
        given = (states, actions, returns_to_go, timesteps)
        order = valid_steps_first(mask)
        count, tokens = self.config.memory_tokens, self.config.tokens
        if order is None:
            x = torch.cat((memory.tokens, self.tokens(*given, None), memory.tokens), 1)
            y, state = self._run(x, memory, None)
            return y[:, count:-count].unflatten(1, (-1, tokens)), Memory(self._kept(memory, y[:, -count:]), state)
        steps, valid = order
        own = self.tokens(*(pick(x, steps) for x in given), valid)
        x = torch.cat((memory.tokens, own, memory.tokens), 1)
        # The memory is written directly behind the last real step, and padding stands behind that.
        there = F.pad(valid.repeat_interleave(tokens, 1), (count, count), value=True)
        place = torch.argsort((~there).to(torch.int8), dim=1, stable=True)
        y, state = self._run(pick(x, place), memory, there.gather(1, place))
        y = pick(y, place.argsort(1))
        features = pick(y[:, count:-count].unflatten(1, (-1, tokens)), steps.argsort(1))
        after = Memory(self._kept(memory, y[:, -count:]), state)
        return features, after.where(valid.any(1), memory)

    def _run(self, x: Tensor, memory: Memory, valid: Tensor | None) -> tuple[Tensor, Any]:
        """Run the blocks over a segment and its memory tokens, with the states of the segments before if cached."""
        if memory.state is None:
            return self.backbone(x), None
        seq = None if valid is None else Seq(valid, None, "right")
        y, state = self.backbone.prefill(x, memory.state, seq=seq)
        return y, tuple(_rebuilt(part, (tensor.detach() for tensor in part)) for part in state)

    def _kept(self, memory: Memory, written: Tensor) -> Tensor:
        return written if self.valve is None else self.valve(memory.tokens, written)


def _rebuilt(state: tuple[Tensor, ...], parts: Any) -> tuple[Tensor, ...]:
    """Return a state of the same kind with other tensors."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
