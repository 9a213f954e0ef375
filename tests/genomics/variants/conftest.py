"""Models whose probabilities are a table, and a slow scorer of strings that shares no code with the package."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqdna.api import GenomeModel
from seqdna.tokenizers import NucleotideTokenizer

PAIRS = str.maketrans("ACGTN", "TGCAN")
TOKENIZER = NucleotideTokenizer()


def reverse_complement(text: str) -> str:
    return text.translate(PAIRS)[::-1]


class TableModel(nn.Module):
    """p(base | its neighbours) from a table (5, 5, 4): left and right neighbour, 4 for anything but A, C, G, T.

    A causal one looks at the left neighbour only, with 0 in the place of the right one.
    """

    def __init__(self, head: str, seed: int = 3) -> None:
        super().__init__()
        draws = np.random.default_rng(seed).dirichlet(np.ones(4), size=(5, 5))
        self.table = nn.Parameter(torch.tensor(draws, dtype=torch.float64))
        self.config = SimpleNamespace(head=head, both_strands=False)
        self.name = "table"

    def num_parameters(self) -> int:
        return self.table.numel()

    def forward(self, ids: Tensor) -> Tensor:
        codes = torch.from_numpy(TOKENIZER.base_codes.astype(np.int64))[ids]
        edge = torch.full_like(codes[:, :1], 4)
        if self.config.head == "causal_lm":
            rows = self.table[codes, torch.zeros_like(codes)]
        else:
            rows = self.table[torch.cat((edge, codes[:, :-1]), 1), torch.cat((codes[:, 1:], edge), 1)]
        logits = torch.full((*ids.shape, 16), -1.0, dtype=torch.float64)
        # What is not A, C, G, T gets a share too, which renormalising must take away.
        logits[..., torch.from_numpy(TOKENIZER.base_ids.astype(np.int64))] = rows.log() + 0.7
        return logits


@dataclass(frozen=True)
class Oracle:
    """Scores by replacing strings; `table` is the model's."""

    table: np.ndarray
    head: str
    window: int
    flank: int = 2
    mean: bool = False

    def scores(self, contig: str, pos: int, ref: str, alt: str) -> tuple[float, float]:
        """Return the scores of the given and of the other strand; `pos` is 1-based."""
        changed = contig[: pos - 1] + alt.upper() + contig[pos - 1 + len(ref) :]
        start, n_ref, n_alt = self._difference(contig, changed)
        one, other = self._window(contig, start, n_ref), self._window(changed, start, n_alt)
        if self.head == "causal_lm":
            return tuple(self._chain(turn(other[0])) - self._chain(turn(one[0])) for turn in (str, reverse_complement))
        spans = [self._span(at, n, max(n_ref, n_alt), n_ref == n_alt) for (_, at), n in ((one, n_ref), (other, n_alt))]
        given = self._pseudo(other[0], spans[1]) - self._pseudo(one[0], spans[0])
        turned = [[self.window - 1 - place for place in span] for span in spans]
        back = self._pseudo(reverse_complement(other[0]), turned[1]) - self._pseudo(
            reverse_complement(one[0]), turned[0]
        )
        return given, back

    @staticmethod
    def _difference(one: str, other: str) -> tuple[int, int, int]:
        """Return start and lengths of what differs, as far to the left as it can lie."""
        short = min(len(one), len(other))
        suffix = 0
        while suffix < short and one[len(one) - 1 - suffix] == other[len(other) - 1 - suffix]:
            suffix += 1
        prefix = 0
        while prefix < short - suffix and one[prefix] == other[prefix]:
            prefix += 1
        return prefix, len(one) - suffix - prefix, len(other) - suffix - prefix

    def _window(self, text: str, start: int, size: int) -> tuple[str, int]:
        padding = "N" * self.window
        edges = [0, len(text) - self.window]
        edge = min(max(start - (self.window // 2 - size // 2), min(edges)), max(edges))
        padded = padding + text + padding
        return padded[self.window + edge : 2 * self.window + edge], start - edge

    def _span(self, at: int, size: int, longest: int, equal: bool) -> list[int]:
        count = longest if equal else min(longest + 2 * self.flank, self.window)
        first = at if equal else at - (longest - size) // 2 - self.flank
        first = min(max(first, 0), self.window - count)
        return list(range(first, first + count))

    def _total(self, terms: list[float]) -> float:
        return sum(terms) / (len(terms) if self.mean else 1)

    def _pseudo(self, text: str, places: list[int]) -> float:
        terms = []
        for place in places:
            left = "ACGT".find(text[place - 1]) if place else -1
            right = "ACGT".find(text[place + 1]) if place + 1 < len(text) else -1
            here = "ACGT".find(text[place])
            if here >= 0:
                terms.append(math.log(self.table[left, right, here]))
        return self._total(terms)

    def _chain(self, text: str) -> float:
        pairs = [("ACGT".find(a), "ACGT".find(b)) for a, b in pairwise(text)]
        return self._total([math.log(self.table[left, 0, here]) for left, here in pairs if here >= 0])


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """The names of this module."""
    return sys.modules[__name__]


HEADS = {"masked_lm": "masked", "leave_one_out": "leave_one_out", "causal_lm": "likelihood"}


@pytest.fixture(params=HEADS)
def table_model(request) -> GenomeModel:
    return GenomeModel(TableModel(request.param), TOKENIZER)


def oracle_of(model: GenomeModel, window: int, **options) -> Oracle:
    return Oracle(model.model.table.detach().numpy(), model.model.config.head, window, **options)


def write_fasta(path: Path, records: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    return path


HEADER = '##fileformat=VCFv4.3\n##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def write_vcf(path: Path, rows: list[tuple], *, header: str = HEADER, columns: str = COLUMNS) -> Path:
    lines = ["\t".join(map(str, row)) for row in rows]
    path.write_text(header + columns + "\n" + "".join(line + "\n" for line in lines))
    return path


def random_genome(seed: int, length: int, *, repeats: bool = True) -> str:
    """Random bases in which tandem repeats make insertions and deletions ambiguous."""
    draws = np.random.default_rng(seed)
    text = ""
    while len(text) < length:
        unit = "".join(draws.choice(list("ACGT"), draws.integers(1, 4)))
        text += unit * int(draws.integers(1, 6) if repeats else 1)
    return text[:length]


def some_rows(genome: dict[str, str], count: int, seed: int) -> list[tuple]:
    """Records of every sort."""
    draws = np.random.default_rng(seed)
    odd = ["<DEL>", "*", ".", "A]c2:9]", "R", "<*>"]
    rows = []
    for contig, text in genome.items():
        for pos in sorted(draws.integers(1, len(text) + 3, count).tolist()):
            ref = text[pos - 1 : pos - 1 + int(draws.choice([1, 1, 1, 2, 3, 9]))] or "A"
            kind = draws.integers(0, 12)
            if kind == 0:
                ref = "".join(draws.choice(list("ACGT"), len(ref)))
            alts = [
                str(draws.choice(odd)) if draws.integers(0, 8) == 0
                else "".join(draws.choice(list("ACGTacgt"), draws.choice([1, 1, 1, 2, 4, 11])))
                for _ in range(draws.choice([1, 1, 2, 3]))
            ]  # fmt: skip
            if kind == 1:
                ref = str(draws.choice([".", "N", "<X>"]))
            name = contig if kind != 2 else f"{contig}_other"
            rows.append(
                (name, pos, f"id{len(rows)}", ref, ",".join(alts), ".", draws.choice(["PASS", ".", "q10"]), "DP=3")
            )
    return rows
