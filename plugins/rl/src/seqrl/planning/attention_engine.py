"""The engine of the Trajectory Transformer itself: keys and values are kept, value tokens never among them.

Three segments make up what a row sees, each stored once for all rows that share it:

    context     the prefix, one row an environment
    trunk       what was added, one row a plan that is kept
    branch      the present actions and reward, one row a continuation

so that tiling copies nothing and a selection copies once a transition. When the window moves, its positions start
again and everything in it changes: it is read anew, once a transition, equal beginnings of plans only once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.planning.attention_cache import Segment
from seqrl.planning.attention_layers import Layer, read_chunk
from seqrl.planning.engines import Engine


class AttentionEngine(Engine):
    """Carries keys and values from token to token; exact unless it slides.

    Args:
        model: With the mixer "attention".
        window: See `Engine`.
        slide: Never read the window anew: keys and values stay as they were computed, at their old positions and
            with what has left the window still in them.
    """

    def __init__(self, model: TrajectoryTransformer, window: int | None = None, *, slide: bool = False) -> None:
        super().__init__(model, window)
        self.slide = slide
        self.heads, self.stop = model.config.n_head, model.config.vocab_size
        self.layers = [Layer(block) for block in model.backbone.layers]
        room = self.window + self.period
        self._context, self._trunk, self._branch = (
            Segment(len(self.layers), self.heads, capacity, model.position) for capacity in (room, room, self.period)
        )

    def start(self, prefix: Tensor) -> None:
        """Begin with one row an environment; see `Engine.start`."""
        super().start(prefix)
        self._prefix = prefix.shape[1]
        self._plans, self._times = 1, 1  # of each environment: rows of the trunk, and how often each is continued
        self._read = 0
        self._gone = -1  # nothing has been read yet

    def expand(self, times: int) -> Tensor:
        """Repeat the rows, which share their logits, and return these; see `Engine.expand`."""
        logits = self.logits()
        self.tokens = self.tokens.repeat(1, times, 1)
        if self._branch.length:
            raise RuntimeError("rows are expanded once between two selections")
        self._times *= times
        self._branch.clear(self.tokens.shape[0] * self.tokens.shape[1])
        return logits.repeat(1, times, 1)

    def select(self, index: Tensor) -> None:
        """Go on with the rows that (N, K) names; see `Engine.select`."""
        environments, count = self.tokens.shape[:2]
        super().select(index)
        shift = torch.arange(environments, device=index.device)[:, None]
        rows = (index + shift * count).flatten()
        plans = (index % self._plans + shift * self._plans).flatten()
        self._trunk.select(plans, self._branch, rows)
        self._branch.clear(0)
        self._plans, self._times = index.shape[1], 1

    def logits(self) -> Tensor:
        """Return the logits (N, R, V + 1) of each row's next token."""
        length = self.tokens.shape[2]
        gone = self.dropped(length)
        if self._gone < 0 or (gone != self._gone and not self.slide):
            self._gone = gone
            self._read_window(length - 1)
        elif gone != self._gone:
            cached = (gone - self._gone) // self.period * (self.period - 1)
            self._trunk.forget(cached - self._context.forget(cached))
            self._gone = gone
        elif self._read != length - 1:
            raise RuntimeError("each row must get one token before its logits are asked for again")
        self._read = length
        return self._step(length - 1).unflatten(0, self.tokens.shape[:2])

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return the embeddings (..., S, D) of the tokens (..., S) at places (S,) of their rows."""
        words = torch.where(tokens == self.stop, self.stop * self.period, tokens + self.stop * (places % self.period))
        return F.embedding(words, self.model.embedding.weight) + self.model.position[places - self._gone]

    def _step(self, place: int) -> Tensor:
        """Run the token at a place of every row through the model: (N R, V + 1)."""
        tokens = self.tokens[:, :, place].reshape(-1, 1)
        hidden = self._embed(tokens, torch.tensor([place], device=tokens.device))[:, 0]
        target = self._target(place) if place % self.period != self.period - 1 else None
        # What each row sees, and how many tokens of it are only now written.
        seen = [(part, int(part is target)) for part in (self._context, self._trunk, self._branch)]
        seen = [(part, new) for part, new in seen if part.length + new]
        width = hidden.shape[1] // self.heads
        for number, layer in enumerate(self.layers):
            q, k, v = layer.project(hidden)
            if target is not None:
                target.write(number, k.reshape(-1, 1, width), v.reshape(-1, 1, width))
            hidden = layer.finish(hidden, self._attend(q, [(part, *part.read(number, new)) for part, new in seen]))
        if target is not None:
            target.advance(1)
        return F.linear(self.model.backbone.norm_f(hidden), self.model.head[place % self.period])

    def _target(self, place: int) -> Segment:
        """Return the segment that takes the token at a place."""
        if place < self._prefix:
            return self._context
        return self._trunk if self._times == 1 else self._branch

    def _attend(self, q: Tensor, seen: list[tuple[Segment, Tensor, Tensor]]) -> Tensor:
        """Return what each row's query (N R, D) finds among the keys and values of segments: (N R, D)."""
        environments, width = self.tokens.shape[0], q.shape[1] // self.heads
        q = q.view(environments, self._times, self._plans, self.heads, width).permute(0, 2, 3, 1, 4)
        scores = [self._back(part, torch.bmm(self._to(part, q), keys.mT)) for part, keys, _ in seen]
        weights = (torch.cat(scores, -1) if len(scores) > 1 else scores[0]).softmax(-1)  # (N, B, H, E, P)
        found, first = None, 0
        for part, keys, values in seen:
            share = weights.narrow(-1, first, keys.shape[1])
            first += keys.shape[1]
            out = self._back(part, torch.bmm(self._to(part, share), values))
            found = out if found is None else found + out
        assert found is not None
        return found.permute(0, 3, 1, 2, 4).reshape(-1, self.heads * width)

    def _to(self, segment: Segment, x: Tensor) -> Tensor:
        """Return (N, B, H, E, P), plans and their continuations, as (rows of a segment times H, queries, P)."""
        if segment is self._trunk:
            return x.flatten(0, 2)
        if segment is self._context:
            return x.transpose(1, 2).flatten(0, 1).flatten(1, 2)
        return x.permute(0, 3, 1, 2, 4).flatten(0, 3)[:, None]

    def _back(self, segment: Segment, x: Tensor) -> Tensor:
        """Return what `_to` made as (N, B, H, E, P)."""
        environments, times, plans, heads, last = (
            self.tokens.shape[0],
            self._times,
            self._plans,
            self.heads,
            x.shape[-1],
        )
        if segment is self._trunk:
            return x.view(environments, plans, heads, times, last)
        if segment is self._context:
            return x.view(environments, heads, plans, times, last).transpose(1, 2)
        return x.view(environments, times, plans, heads, last).permute(0, 2, 3, 1, 4)

    def _read_window(self, end: int) -> None:
        """Fill context and trunk with the window's tokens before `end`; a branch becomes part of the trunk."""
        environments, rows = self.tokens.shape[:2]
        self._plans, self._times = rows, 1
        self._branch.clear(0)
        self._context.clear(environments)
        self._trunk.clear(environments * rows)
        split = max(self._gone, min(self._prefix, end))
        places = self._seen(self._gone, split)
        if len(places):
            hidden = self._embed(self.tokens[:, 0, places], places)
            for number, (k, v) in enumerate(read_chunk(self.layers, hidden, self.heads)):
                self._context.write(number, k.flatten(0, 1), v.flatten(0, 1))
            self._context.advance(len(places))
        self._read_trunk(split, end)

    def _read_trunk(self, start: int, end: int) -> None:
        """Read the plans transition by transition; those that are equal so far are read as one."""
        rows = self.flat
        origin = torch.arange(len(self.tokens), device=rows.device).repeat_interleave(self.tokens.shape[1])
        group, past, environment = origin, None, torch.arange(len(self.tokens), device=rows.device)
        while start < end:
            stop = min(end, (start // self.period + 1) * self.period)
            places = self._seen(start, stop)
            start = stop
            if not len(places):
                continue
            chunk, group_after = torch.unique(
                torch.cat((group[:, None], rows[:, places]), 1), dim=0, return_inverse=True
            )
            parent = chunk[:, 0]
            environment = environment[parent]  # rows of one environment stay together: they are sorted
            before = None if past is None else [(k[parent], v[parent]) for k, v in past]
            shared = self._shared(torch.bincount(environment, minlength=len(self.tokens)).tolist())
            new = read_chunk(self.layers, self._embed(chunk[:, 1:], places), self.heads, before, shared)
            past = new if before is None else [_joined(old, part) for old, part in zip(before, new, strict=True)]
            group = group_after
        if past is not None:
            for number, (k, v) in enumerate(past):
                self._trunk.write(number, k[group].flatten(0, 1), v[group].flatten(0, 1))
            self._trunk.advance(past[0][0].shape[2])

    def _shared(self, counts: list[int]) -> list[tuple[int, list[tuple[Tensor, Tensor]]]] | None:
        """Return for each environment how many rows it has, and the context's keys and values (H, P, K) by layer."""
        if not self._context.length:
            return None
        parts = []
        for environment, count in enumerate(counts):
            rows = slice(environment * self.heads, (environment + 1) * self.heads)
            layers = range(len(self.layers))
            found = [self._context.read(i) for i in layers]
            parts.append((count, [(keys[rows], values[rows]) for keys, values in found]))
        return parts

    def _seen(self, start: int, end: int) -> Tensor:
        """Return the places from start to end - 1 that hold no value."""
        places = torch.arange(start, end, device=self.tokens.device)
        return places[places % self.period != self.period - 1]


def _joined(old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat((old[0], new[0]), 2), torch.cat((old[1], new[1]), 2)
