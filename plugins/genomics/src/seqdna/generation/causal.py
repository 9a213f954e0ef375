"""Continuing prompts with a causal model, in constant memory where it has a recurrent form.

Recurrent: the prompt runs once, chunk by chunk, then each base costs one step from a state of fixed size.
Recomputing: each base runs the whole sequence so far, up to the longest that the model can read. Both draw
the same bases, up to rounding. Without a prompt the first base is drawn evenly: these models have no token
for the start and do not predict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from seqdna.generation.results import Generated
from seqdna.generation.sampling import Sampling
from seqdna.likelihood import evaluating, language_head, log_bases
from seqdna.models.base import DNAModel, longest_input
from seqdna.tokenizers import BASES, NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name

MODES = ("auto", "recurrent", "recompute")
_PREFILL = 16384


def continue_prompts(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    prompts: Mapping[str, str],
    *,
    length: int = 100,
    n: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    mode: str = "auto",
    batch_rows: int = 64,
) -> Generated:
    """Continue each prompt n times.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompts: Name -> bases; may be empty, the first base is then drawn evenly.
        length: New bases.
        n: Samples of each prompt.
        sampling: Temperature, top-k, top-p.
        seed: With the number of the prompt and of the sample, the seed of a sequence.
        mode: "recurrent", "recompute", or "auto": recurrent where the model has such a form.
        batch_rows: Sequences to run at once.

    Raises:
        UserError: The model is not causal, has no recurrent form, or cannot read that far; a number is too small.
    """
    sampling = sampling or Sampling()
    _check(model, prompts, length, n, mode)
    recurrent = mode == "recurrent" or (mode == "auto" and has_recurrent_form(model))
    if not recurrent:
        _check_reach(model, max(map(len, prompts.values()), default=0) + length)
    jobs = [
        _Job.start(f"{name}_{sample + 1}", text, tokenizer, np.random.default_rng([seed, number, sample]))
        for number, (name, text) in enumerate(prompts.items())
        for sample in range(n)
    ]
    with evaluating(model):
        for batch in _batches(jobs, batch_rows, same_length=not recurrent):
            engine = (_Recurrent if recurrent else _Recompute)(model, tokenizer, [job.ids for job in batch])
            _write(engine, batch, tokenizer, sampling, length)
    settings = {"seed": seed, "temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
    texts = tuple(job.text + "".join(BASES[code] for code in job.codes) for job in jobs)
    places = tuple(np.arange(len(job.text), len(job.text) + length) for job in jobs)
    return Generated(tuple(job.name for job in jobs), texts, places, settings)


def has_recurrent_form(model: DNAModel) -> bool:
    """Return whether a causal model can run base by base from a state of fixed size."""
    layers: Any = model.backbone.layers
    return hasattr(model, "step") and all(block.recurrent for block in layers)


@dataclass
class _Job:
    """One sequence to write: the prompt, its ids, what was drawn so far."""

    name: str
    text: str
    ids: np.ndarray
    codes: list[int]
    rng: np.random.Generator

    @classmethod
    def start(cls, name: str, text: str, tokenizer: NucleotideTokenizer, rng: np.random.Generator) -> _Job:
        if text:
            return cls(name, text, tokenizer.encode(text).astype(np.int64), [], rng)
        first = int(rng.integers(4))
        return cls(name, text, tokenizer.base_ids[[first]].astype(np.int64), [first], rng)


class _Engine(Protocol):
    def __init__(self, model: DNAModel, tokenizer: NucleotideTokenizer, prompts: list[np.ndarray]) -> None: ...

    logp: np.ndarray
    """(R, 4) of the next base."""

    def step(self, tokens: np.ndarray) -> None: ...


class _Recurrent:
    """Rows side by side, each with its state; equal prompts are read once."""

    def __init__(self, model: DNAModel, tokenizer: NucleotideTokenizer, prompts: list[np.ndarray]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = model.embedding.weight.device
        read: dict[bytes, tuple[torch.Tensor, Any]] = {}
        for ids in prompts:
            if ids.tobytes() not in read:
                read[ids.tobytes()] = self._prefill(ids)
        rows = [read[ids.tobytes()] for ids in prompts]
        self.logp = log_bases(torch.cat([logits for logits, _ in rows]), tokenizer)
        self.state = _joined([state for _, state in rows])

    def _prefill(self, ids: np.ndarray) -> tuple[torch.Tensor, Any]:
        state = None
        for first in range(0, len(ids), _PREFILL):
            chunk = torch.from_numpy(ids[None, first : first + _PREFILL]).to(self.device)
            logits, state = self.model.prefill(chunk, state)  # type: ignore[operator]
        return logits[:, -1], state

    def step(self, tokens: np.ndarray) -> None:
        logits, self.state = self.model.step(torch.from_numpy(tokens).to(self.device), self.state)  # type: ignore[operator]
        self.logp = log_bases(logits, self.tokenizer)


class _Recompute:
    """Rows of one length, run from the start for every base."""

    def __init__(self, model: DNAModel, tokenizer: NucleotideTokenizer, prompts: list[np.ndarray]) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.ids = np.stack(prompts)
        self._run()

    def _run(self) -> None:
        logits = self.model(torch.from_numpy(self.ids).to(self.model.embedding.weight.device))
        self.logp = log_bases(logits[:, -1], self.tokenizer)

    def step(self, tokens: np.ndarray) -> None:
        self.ids = np.concatenate((self.ids, tokens[:, None]), axis=1)
        self._run()


def _write(engine: _Engine, batch: list[_Job], tokenizer: NucleotideTokenizer, sampling: Sampling, length: int) -> None:
    bases = tokenizer.base_ids.astype(np.int64)
    missing = length - len(batch[0].codes)  # one base less where the first was drawn without a prompt
    uniform = np.stack([job.rng.random(missing) for job in batch])
    for index in range(missing):
        codes = sampling.draw(engine.logp, uniform[:, index])
        for job, code in zip(batch, codes, strict=True):
            job.codes.append(int(code))
        if index + 1 < missing:
            engine.step(bases[codes])


def _batches(jobs: list[_Job], rows: int, *, same_length: bool) -> Iterator[list[_Job]]:
    """Group jobs in their order; prompted and unprompted ones never together, one length where asked for."""
    batch: list[_Job] = []
    for job in jobs:
        apart = batch and (
            len(batch) == rows
            or len(job.codes) != len(batch[0].codes)
            or (same_length and len(job.ids) != len(batch[0].ids))
        )
        if apart:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _joined(states: list[Any]) -> Any:
    """Join the states of single rows to that of a batch: nested tuples of tensors, batch first."""
    first = states[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(states)
    if isinstance(first, tuple):
        parts = [_joined(list(part)) for part in zip(*states, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return first


def _check(model: DNAModel, prompts: Mapping[str, str], length: int, n: int, mode: str) -> None:
    if language_head(model) != "causal_lm":
        raise UserError(
            "this model reads both directions and cannot continue a sequence: mark the bases to write with _ "
            "(--prompt ACGT____ACGT), or give a causal model."
        )
    marked = [name for name, text in prompts.items() if "_" in text]
    if marked:
        raise UserError(
            f"{marked[0]!r}: _ marks bases to fill in, and a causal model sees only what is before them; "
            "give a masked or leave-one-out model, or a prompt without _."
        )
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if mode == "recurrent" and not has_recurrent_form(model):
        raise UserError("this model has no recurrent form; use --mode recompute.")
    for flag, value in (("length", length), ("n", n)):
        if value < 1:
            raise UserError(f"--{flag} is {value}; it must be at least 1.")


def _check_reach(model: DNAModel, positions: int) -> None:
    reach = longest_input(model)
    if reach is not None and positions - 1 > reach:  # the last base is written, not read
        raise UserError(
            f"prompt and new bases are {positions:,} positions; this model reads at most {reach:,} and recomputes "
            "all of them for each base: shorten --length or the prompt."
        )
