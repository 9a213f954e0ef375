"""Beam search for the likeliest continuation: imitation, and reaching goals.

    tokens, logps = beam_search(model, prefix, steps=30, beam_width=32)

At every token the continuations of all beams compete by their summed log-probability (Janner et al. 2021,
https://arxiv.org/abs/2106.02039); nothing is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.planning.engines import make_engine
from seqrl.planning.options import EngineName
from seqsuite.mixers.options import check_range


@torch.inference_mode()
def beam_search(
    model: TrajectoryTransformer,
    prefix: Tensor,
    steps: int,
    *,
    beam_width: int = 512,
    top_k: int | None = None,
    temperature: float = 1.0,
    window: int | None = None,
    engine: EngineName = "cached",
) -> tuple[Tensor, Tensor]:
    """Continue token by token with the likeliest sequences.

    Args:
        model: The model.
        prefix: (N, P) tokens, from the first number of a row on.
        steps: Tokens to add.
        beam_width: Sequences kept after each of them.
        top_k: Continuations of each that compete; None: all.
        temperature: Divides the logits.
        window: Tokens that the model may see at once; None: its block.
        engine: See `seqrl.planning.engines`.

    Returns:
        The sequences (N, W, P + steps), likeliest first, and their summed log-probabilities in nats (N, W); W is
        `beam_width`, or as many as there are.

    Raises:
        UserError: A number is too small.
    """
    counts = {"steps": steps, "beam_width": beam_width} | ({} if top_k is None else {"top_k": top_k})
    check_range("beam search", counts, least=1)
    check_range("beam search", {"temperature": temperature}, above=0)
    rows = make_engine(model, engine, window=window)
    rows.start(prefix.to(model.position.device))
    total = model.position.new_zeros(len(prefix), 1)
    for _ in range(steps):
        logits = rows.logits()
        width = logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1])
        found = (logits / temperature).log_softmax(-1).topk(width, dim=-1)  # (N, R, width)
        candidates = (total[..., None] + found.values).flatten(1)
        total, index = candidates.sort(stable=True, dim=-1, descending=True)
        total, index = total[:, :beam_width], index[:, :beam_width]
        rows.select(index // width)
        rows.append(found.indices.flatten(1).gather(1, index))
    return rows.tokens, total
