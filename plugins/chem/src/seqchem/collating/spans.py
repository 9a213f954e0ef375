"""Spans of masked tokens, as XLNet draws them (arXiv 1906.08237, and the conditional mode of arXiv 2202.01338).

A region is walked from its start: draw the length of a span from 1 to `max_span`, reserve a context of
length / `probability` tokens, mask the span somewhere inside, go on behind the context.

`draw_spans` does so for all rows of a batch at once; `published_spans` draws one number after the other in the
order of the published code, so that the same seed gives the same spans.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqchem.collating.draws import uniforms


def _contexts(probability: float, max_span: int) -> list[int]:
    """Return the context of each length 0 .. max_span, rounded down as Python does it."""
    if not 0 < probability <= 1:
        raise ValueError(f"probability must be above 0 and at most 1, not {probability}")
    if max_span < 1:
        raise ValueError(f"max_span must be at least 1, not {max_span}")
    return [int(length / probability) for length in range(max_span + 1)]


def span_draws(length: int, probability: float) -> int:
    """Return how many pairs of uniform numbers `draw_spans` may need for rows of `length` tokens."""
    return -(-length // max(int(1 / probability), 1))


def draw_spans(
    start: Tensor,
    end: Tensor,
    length: int,
    *,
    probability: float,
    max_span: int,
    generator: torch.Generator | None = None,
    draws: Tensor | None = None,
) -> Tensor:
    """Draw spans inside a region of each row, all rows at once.

    Args:
        start: (B,) int64, the first position of the region.
        end: (B,) int64, behind its last; a region that ends where it starts is empty.
        length: T.
        probability: Share of the tokens that are masked.
        max_span: Longest span.
        generator: Draws the numbers.
        draws: (B, K, 2) uniform numbers in its place, K at least `span_draws`.

    Returns:
        (B, T) bool; at least one position in every region that is not empty.

    Raises:
        ValueError: An option is out of range, or there is nothing to draw from.
    """
    contexts = torch.tensor(_contexts(probability, max_span), device=start.device)
    if draws is None:
        draws = uniforms((len(start), span_draws(length, probability), 2), generator, start.device)
    spans = (draws[..., 0] * max_span).long().clamp(max=max_span - 1) + 1  # (B, K)
    reserved = contexts[spans].cumsum(1)
    # Only the last context of a region can be cut, and behind it nothing begins: the places need no loop.
    begin = start[:, None] + torch.cat((torch.zeros_like(reserved[:, :1]), reserved[:, :-1]), 1)
    spans = torch.minimum(spans, end[:, None] - begin).clamp(min=0)
    room = contexts[spans] - spans + 1
    shift = (draws[..., 1] * room).long().minimum(room - 1)
    first = torch.maximum(torch.minimum(begin + shift, end[:, None] - spans), begin).clamp(max=length)
    edges = torch.zeros(len(start), length + 1, dtype=torch.int64, device=start.device)
    present = (spans > 0).long()
    edges.scatter_add_(1, first, present)
    edges.scatter_add_(1, (first + spans).clamp(max=length), -present)
    return edges[:, :length].cumsum(1) > 0


def published_spans(
    start: int,
    end: int,
    length: int,
    *,
    probability: float,
    max_span: int,
    generator: torch.Generator,
    clip: bool = True,
) -> Tensor:
    """Draw the spans of one row in the published order of random numbers.

    Args:
        start: First position of the region.
        end: Behind its last.
        length: T.
        probability: Share of the tokens that are masked.
        max_span: Longest span.
        generator: Draws the numbers.
        clip: Keep spans inside the region; the plain permutation objective does not.

    Returns:
        (T,) bool.
    """
    contexts = _contexts(probability, max_span)
    masked = torch.zeros(length, dtype=torch.bool)
    while start < end:
        span = int(torch.randint(1, max_span + 1, (1,), generator=generator))
        span = min(span, end - start) if clip else span
        shift = int(torch.randint(contexts[span] - span + 1, (1,), generator=generator))
        first = max(min(start + shift, end - span), start) if clip else start + shift
        masked[first : first + span] = True
        start += contexts[span]
    return masked
