"""Filling marked bases with a model that sees both sides.

Marked is every ``_``; in a sequence without any ``_``, every N.

Masked models: all marked bases are masked, and in `steps` passes the most confident (or randomly chosen) of
them are drawn and shown to the next pass, as in mask-predict and masked diffusion. Leave-one-out models know
no mask: the marked bases start as random ones and are drawn again and again, each given all others (Gibbs
sampling). `sweeps` beyond the first do the same to a masked model's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqdna.generation.results import Generated
from seqdna.generation.sampling import Sampling
from seqdna.likelihood import evaluating, language_head, log_bases
from seqdna.models.base import DNAModel
from seqdna.tokenizers import BASES, NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name

ORDERS = ("confident", "random")
GIBBS_SWEEPS = 5
"""How often a leave-one-out model draws each base, by default."""


def infill(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    sequences: Mapping[str, str],
    *,
    n: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    steps: int | None = None,
    order: str = "confident",
    sweeps: int | None = None,
    batch_tokens: int = 16384,
) -> Generated:
    """Fill the marked bases of each sequence n times.

    Args:
        model: A masked or leave-one-out language model.
        tokenizer: Its tokenizer.
        sequences: Name -> bases, with ``_`` (or else N) where the model shall write.
        n: Samples of each sequence.
        sampling: Temperature, top-k, top-p.
        seed: With the number of the sequence and of the sample, the seed of a sequence.
        steps: Passes in which all marked bases are drawn once; None: one base a pass.
        order: "confident": where the model is surest first; "random". For masked models' first sweep.
        sweeps: How often each base is drawn; None: once by masked models, 5 times by leave-one-out models.
        batch_tokens: Bases to run at once.

    Raises:
        UserError: The model is causal or predicts no bases, nothing is marked, or a number is too small.
    """
    plan = _plan(model, tokenizer, n=n, sampling=sampling, steps=steps, order=order, sweeps=sweeps)
    names, texts, places = [], [], []
    for number, (name, text) in enumerate(sequences.items()):
        marked = _marked(name, text)
        rows = max(1, batch_tokens // len(text))
        for first in range(0, n, rows):
            rngs = [np.random.default_rng([seed, number, sample]) for sample in range(first, min(first + rows, n))]
            codes = _Filler(model, tokenizer, text, marked, plan, rngs).run()
            names += [f"{name}_{sample}" for sample in range(first + 1, first + 1 + len(rngs))]
            texts += [_filled(text, marked, row) for row in codes]
            places += [marked] * len(rngs)
    return Generated(tuple(names), tuple(texts), tuple(places), {"seed": seed, **plan.told()})


@dataclass(frozen=True)
class _Plan:
    """How to draw; `mask` is the id of the mask, None for a leave-one-out model."""

    mask: int | None
    steps: int | None
    sweeps: int
    random: bool
    sampling: Sampling

    def told(self) -> dict[str, Any]:
        """Return the settings as the result shows them."""
        drawn = {name: getattr(self.sampling, name) for name in ("temperature", "top_k", "top_p")}
        told = drawn | {"steps": "all" if self.steps is None else self.steps, "sweeps": self.sweeps}
        return told if self.mask is None else told | {"order": "random" if self.random else "confident"}


def _plan(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    *,
    n: int,
    sampling: Sampling | None,
    steps: int | None,
    order: str,
    sweeps: int | None,
) -> _Plan:
    head = language_head(model)
    if head == "causal_lm":
        raise UserError(
            "a causal model sees only the bases before: it continues a prompt without _ marks, and cannot fill in."
        )
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    for flag, value in (("n", n), ("steps", steps), ("sweeps", sweeps)):
        if value is not None and value < 1:
            raise UserError(f"--{flag} is {value}; it must be at least 1.")
    masked = head == "masked_lm"
    return _Plan(
        mask=tokenizer.mask_id if masked else None,
        steps=steps,
        sweeps=sweeps or (1 if masked else GIBBS_SWEEPS),
        random=order == "random",
        sampling=sampling or Sampling(),
    )


def _filled(text: str, marked: np.ndarray, codes: np.ndarray) -> str:
    letters = list(text)
    for place, code in zip(marked, codes, strict=True):
        letters[place] = BASES[code]
    return "".join(letters)


def _marked(name: str, text: str) -> np.ndarray:
    letters = np.frombuffer(text.upper().encode("ascii"), dtype=np.uint8)
    for mark in "_N":
        marked = np.flatnonzero(letters == ord(mark))
        if len(marked):
            return marked
    raise UserError(
        f"{name!r} has no base to fill in: this model reads both directions and cannot continue a sequence; mark "
        "the bases to write with _ (or N), as in --prompt ACGT____ACGT, or give a causal model."
    )


class _Filler:
    """R copies of one sequence, each with its generator, and the draws that fill their K marked bases."""

    def __init__(
        self,
        model: DNAModel,
        tokenizer: NucleotideTokenizer,
        text: str,
        marked: np.ndarray,
        plan: _Plan,
        rngs: list[np.random.Generator],
    ) -> None:
        self.model, self.tokenizer, self.marked, self.plan, self.rngs = model, tokenizer, marked, plan, rngs
        self.ids = np.repeat(tokenizer.encode(text.replace("_", "N"))[None].astype(np.int64), len(rngs), axis=0)
        self.bases = tokenizer.base_ids.astype(np.int64)
        self.rows = np.arange(len(rngs))[:, None]
        self.passes = min(plan.steps or len(marked), len(marked))

    def run(self) -> np.ndarray:
        """Fill, and return the codes (R, K)."""
        count, masked = len(self.marked), self.plan.mask is not None
        if self.plan.mask is not None:
            self.ids[:, self.marked] = self.plan.mask
            self._random_sweep() if self.plan.random else self._confident_sweep()
        else:
            self.ids[:, self.marked] = self.bases[np.stack([rng.integers(4, size=count) for rng in self.rngs])]
        for _ in range(self.plan.sweeps - masked):
            self._random_sweep()
        return self.tokenizer.base_codes[self.ids[:, self.marked]].astype(np.int64)

    def _random_sweep(self) -> None:
        """Draw every marked base once, in an order of each row's own; masked models do not see what they draw."""
        order = np.stack([rng.permutation(len(self.marked)) for rng in self.rngs])
        for chosen in np.array_split(order, self.passes, axis=1):
            if self.plan.mask is not None:
                self.ids[self.rows, self.marked[chosen]] = self.plan.mask
            self._draw(chosen, self._predict())

    def _confident_sweep(self) -> None:
        """Draw the masked bases, in each pass those whose likeliest base is the likeliest."""
        hidden = np.ones((len(self.rngs), len(self.marked)), dtype=bool)
        for part in np.array_split(np.arange(len(self.marked)), self.passes):
            logp = self._predict()
            confidence = np.where(hidden, logp.max(-1), -np.inf)
            chosen = np.argsort(-confidence, axis=1, kind="stable")[:, : len(part)]
            self._draw(chosen, logp)
            hidden[self.rows, chosen] = False

    def _predict(self) -> np.ndarray:
        """Return the log probabilities of the marked bases: (R, K, 4)."""
        with evaluating(self.model) as device:
            logits = self.model(torch.from_numpy(self.ids).to(device))
            return log_bases(logits[:, torch.from_numpy(self.marked).to(device)], self.tokenizer)

    def _draw(self, chosen: np.ndarray, logp: np.ndarray) -> None:
        """Draw the marked bases of the given numbers (R, k)."""
        uniform = np.stack([rng.random(chosen.shape[1]) for rng in self.rngs])
        codes = self.plan.sampling.draw(logp[self.rows, chosen], uniform)
        self.ids[self.rows, self.marked[chosen]] = self.bases[codes]
