"""Task 2 of DART-Eval (Patel et al., NeurIPS 2024), zero-shot: does a model prefer a motif to its shuffled letters?

    pairs = read_footprints("footprint_dataset_350.txt")
    found = footprints(model, tokenizer, pairs)
    found.accuracy                  # mean over the motifs of the share of pairs in which the motif is the likelier

A line of the file is NAME, tab, sequence. NAME is NUMBER_MOTIF_STRAND_true, and the next line the same with _shuffled;
lines NUMBER_raw_STRAND, the sequences without a motif, are not needed for this figure. The likelihood is that of the
whole sequence, as `seqdna.variant_benchmarks.window_likelihood`. Layout and metric follow kundajelab/DART-Eval
(motif_footprinting_dataset.py, footprint_eval_likelihoods.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqdna.finetuning.labelled import check_reach, check_sequence
from seqdna.finetuning.tables import check_file, read_text
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqdna.models.base import DNAModel

_NAME = re.compile(r"(?P<number>\d+)_(?P<motif>.+)_(?P<strand>forward|reverse)(?:_(?P<kind>true|shuffled))?")


class Footprint(NamedTuple):
    """A motif put into a sequence, and the same with the motif's letters shuffled."""

    motif: str
    true: str
    shuffled: str


@dataclass(frozen=True)
class Footprints(TableView):
    """How often a model finds a motif likelier than its shuffled letters.

    Attributes:
        motifs: Their names.
        pairs: Pairs of each.
        shares: Share of a motif's pairs in which it is at least as likely as shuffled.
    """

    motifs: tuple[str, ...] = field(repr=False)
    pairs: tuple[int, ...] = field(repr=False)
    shares: tuple[float, ...] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """The mean share over the motifs; one half is chance."""
        return float(np.mean(self.shares))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a motif."""
        rows = zip(self.motifs, self.pairs, self.shares, strict=True)
        return [{"motif": motif, "pairs": count, "accuracy": share} for motif, count, share in rows]

    def figure(self) -> Figure:
        """Draw the distribution of the shares over the motifs."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.hist(self.shares, bins=20, range=(0, 1), color="#0072B2")
        axes.axvline(0.5, color="#808080", linestyle="--")
        axes.set(xlabel="share of pairs with the motif likelier; dashed: chance", ylabel="motifs")
        return figure


def is_footprints(path: Path) -> bool:
    """Whether a text file's first line is NAME, tab, sequence with a name as the task has it."""
    with open(path, encoding="utf-8", errors="replace") as file:
        name, tab, _ = file.readline(4096).partition("\t")
    return bool(tab and _NAME.fullmatch(name))


def read_footprints(path: str | Path) -> list[Footprint]:
    """Read all pairs.

    Raises:
        UserError: A line is not in order, or a motif's line is not followed by its shuffled one.
    """
    source = Path(path).expanduser()
    check_file(source)
    pairs, waiting = [], None
    for number, line in enumerate(read_text(source).splitlines(), start=1):
        where = f"{source}, line {number}"
        name, tab, text = line.partition("\t")
        found = _NAME.fullmatch(name)
        if not tab or not found:
            raise UserError(
                f"{where}: expected NUMBER_MOTIF_forward_true (or _shuffled, reverse), a tab and a sequence."
            )
        text = check_sequence(text, where)
        stem = name.rpartition("_")[0]
        if found["kind"] == "true" and waiting is None:
            waiting = (stem, found["motif"], text)
        elif found["kind"] == "shuffled" and waiting is not None and waiting[0] == stem:
            if len(text) != len(waiting[2]):
                raise UserError(
                    f"{where}: has {len(text)} bases, the line before {len(waiting[2])}; a pair is equally long."
                )
            pairs.append(Footprint(waiting[1], waiting[2], text))
            waiting = None
        elif waiting is not None or found["kind"] == "shuffled":
            wanted = f"{waiting[0]}_shuffled" if waiting else f"{stem}_true before it"
            raise UserError(
                f"{where}: found {name!r}, expected {wanted}; each motif is followed by its shuffled letters."
            )
    if waiting is not None or not pairs:
        raise UserError(f"{source}: {'the last motif has no shuffled line' if waiting else 'holds no pair'}.")
    return pairs


def footprints(
    model: DNAModel,
    tokenizer: Any,
    pairs: Sequence[Footprint],
    *,
    batch_tokens: int = 65536,
    progress: Callable[[int], None] | None = None,
) -> Footprints:
    """Judge the pairs by the likelihood of the whole sequences.

    Args:
        model: A language model; a masked one takes a forward row for each base.
        tokenizer: Its tokenizer.
        pairs: What `read_footprints` returned.
        batch_tokens: Bases to run at once.
        progress: Called with the number of pairs done.

    Raises:
        UserError: The model predicts no bases, or reads fewer than a sequence has.
    """
    from seqdna.models.base import longest_input

    texts = [pair.true for pair in pairs]
    check_reach(longest_input(model), texts, lambda row: f"pair {row + 1} ({pairs[row].motif})", way="cut it.")
    found: dict[str, list[bool]] = defaultdict(list)
    step = max(1, batch_tokens // (2 * max(map(len, texts))))
    for first in range(0, len(pairs), step):
        part = pairs[first : first + step]
        for pair, true, shuffled in zip(
            part,
            _likelihoods(model, tokenizer, [pair.true for pair in part], batch_tokens),
            _likelihoods(model, tokenizer, [pair.shuffled for pair in part], batch_tokens),
            strict=True,
        ):
            found[pair.motif].append(bool(true >= shuffled))
        if progress is not None:
            progress(first + len(part))
    shares = tuple(float(np.mean(right)) for right in found.values())
    return Footprints(tuple(found), tuple(map(len, found.values())), shares)


def _likelihoods(model: DNAModel, tokenizer: Any, texts: Sequence[str], batch_tokens: int) -> list[float]:
    """Return the log probability of each sequence: the sum over its bases, but a causal model's first one."""
    import torch

    from seqdna.likelihood import at_sites, evaluating, language_head, log_bases, log_of_true

    head, totals = language_head(model), np.empty(len(texts))
    encoded = [tokenizer.encode(text) for text in texts]
    if head == "masked_lm":
        for number, ids in enumerate(encoded):
            windows = np.broadcast_to(ids, (len(ids), len(ids)))
            logp = at_sites(model, tokenizer, windows, np.arange(len(ids)), batch_tokens=batch_tokens)
            totals[number] = np.nansum(log_of_true(logp, ids, tokenizer))
        return totals.tolist()
    for length in sorted({len(ids) for ids in encoded}):
        rows = [number for number, ids in enumerate(encoded) if len(ids) == length]
        batch = np.stack([encoded[number] for number in rows]).astype(np.int64)
        with evaluating(model) as device:
            logits = model(torch.from_numpy(batch).to(device))
            for number, ids, row in zip(rows, batch, logits, strict=True):
                logp = log_bases(row, tokenizer)
                shifted = (logp[:-1], ids[1:]) if head == "causal_lm" else (logp, ids)
                totals[number] = np.nansum(log_of_true(*shifted, tokenizer))
    return totals.tolist()
