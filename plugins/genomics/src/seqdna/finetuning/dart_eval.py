"""Tasks 1 and 3 of DART-Eval (Patel et al., NeurIPS 2024): regulatory elements and cell-type-specific ones.

    rows = read_dart_eval(path, dart_eval_task(path), genome, genome_name="GRCh38.fa")

Task 1: a TSV of elements (chr, input_start, input_end, ccre_start, ccre_end, reverse_complement, ...). Each gives its
window and a control, in which the element's own bases are shuffled so that every pair of neighbours is as frequent as
before. Task 3: a TSV of peaks (chr, input_start, input_end, label, ...), the label is the cell line. Rows are assigned
by chromosome, as the suite does. Layouts, splits and the seed of each control follow the reading code of
kundajelab/DART-Eval (task_1_paired_control/components.py, task_2_5_single/finetune.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from seqdna.finetuning.intervals import missing_sequence
from seqdna.finetuning.labelled import Rows, reverse_complement
from seqdna.finetuning.tables import Record, first_cells, table_records
from seqsuite.errors import UserError

DartEvalTask = Literal["", "elements", "cell_types"]

ELEMENTS = ("chr", "input_start", "input_end", "ccre_start", "ccre_end", "reverse_complement")
PEAKS = ("chr", "input_start", "input_end", "label")

CHROMOSOMES = {
    **dict.fromkeys((f"chr{k}" for k in (1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19, "X", "Y")), "train"),
    **dict.fromkeys(("chr6", "chr21"), "valid"),
    **dict.fromkeys(("chr5", "chr10", "chr14", "chr18", "chr20", "chr22"), "test"),
}
"""Which chromosome is for what; rows on others are left out."""

CONTROL, ELEMENT = "control", "element"
SEED = 0
"""Of the published controls."""

_YES_NO = {"true": True, "1": True, "false": False, "0": False}


def dart_eval_task(path: Path) -> DartEvalTask:
    """Say which task a TSV file's header belongs to; "" for none."""
    names = set(first_cells(path))
    if names >= set(ELEMENTS):
        return "elements"
    return "cell_types" if names >= set(PEAKS) else ""


def read_dart_eval(path: Path, task: DartEvalTask, genome: Mapping[str, str], *, genome_name: str) -> Rows:
    """Read a task.

    Args:
        path: The TSV file.
        task: What `dart_eval_task` said.
        genome: Name -> sequence; bases beyond its ends are N.
        genome_name: For messages.

    Raises:
        UserError: A cell is not in order, a chromosome is not in the genome, or no row is on a chromosome of the split.
    """
    header, found = table_records(path)
    place_of = {name: number for number, name in enumerate(header)}
    places: list[str] = []
    sequences: list[str] = []
    labels: list[tuple[str, ...]] = []
    splits: list[str] = []
    for place, cells in _assigned(path, header, found):
        where = f"{path}, {place}"
        cell = {name: cells[number].strip() for name, number in place_of.items()}
        window = _window(genome, cell["chr"], _span(cell, "input", where), where, genome_name)
        if task == "cell_types":
            pairs = [(window, cell["label"])]
        else:
            pairs = [(text, name) for name, text in _pair(cell, window, where).items()]
        for text, label in pairs:
            places.append(f"{place}, {label}" if task == "elements" else place)
            sequences.append(text)
            labels.append((label,))
            splits.append(CHROMOSOMES[cell["chr"]])
    if not places:
        raise UserError(f"{path}: no row lies on one of the chromosomes chr1 to chr22, chrX and chrY.")
    return Rows(str(path), tuple(places), tuple(sequences), tuple(labels), ("label",), tuple(splits))


def _assigned(path: Path, header: Sequence[str], records: Iterable[Record]) -> list[Record]:
    """Return the rows on the chromosomes that the split names."""
    kept = []
    for place, cells in records:
        if len(cells) != len(header):
            raise UserError(f"{path}, {place}: has {len(cells)} cells, the header has {len(header)}; mend the row.")
        if cells[header.index("chr")].strip() in CHROMOSOMES:
            kept.append((place, cells))
    return kept


def _span(cell: Mapping[str, str], what: str, where: str) -> tuple[int, int]:
    texts = cell[f"{what}_start"], cell[f"{what}_end"]
    try:
        start, end = (int(text) for text in texts)
    except ValueError:
        raise UserError(
            f"{where}: {what}_start {texts[0]!r} and {what}_end {texts[1]!r} must be whole numbers."
        ) from None
    if start >= end:
        raise UserError(f"{where}: {what}_end {end} must be larger than {what}_start {start}.")
    return start, end


def _window(genome: Mapping[str, str], name: str, span: tuple[int, int], where: str, genome_name: str) -> str:
    """Return the bases of a window in capitals, N beyond the ends of the chromosome."""
    sequence = genome.get(name)
    if sequence is None:
        raise missing_sequence(name, genome, where, genome_name)
    start, end = span
    if end <= 0 or start >= len(sequence):
        raise UserError(
            f"{where}: {name}:{start}-{end} lies outside of {name!r}, which has {len(sequence)} bases; mend the "
            "interval, or give the genome that it was made for."
        )
    text = sequence[max(start, 0) : end].upper()
    return "N" * max(-start, 0) + text + "N" * max(end - len(sequence), 0)


def _pair(cell: Mapping[str, str], window: str, where: str) -> dict[str, str]:
    """Return an element's window and its control."""
    (start, _), (first, last) = _span(cell, "input", where), _span(cell, "ccre", where)
    turned = _YES_NO.get(cell["reverse_complement"].lower())
    if turned is None:
        raise UserError(f"{where}: reverse_complement is {cell['reverse_complement']!r}; it must be True or False.")
    low, high = max(first - start, 0), min(last - start, len(window))
    if low >= high:
        raise UserError(f"{where}: the element {first}-{last} lies outside of its window.")
    control = window[:low] + shuffled(window[low:high], _generator(cell["chr"], first, last)) + window[high:]
    both = {ELEMENT: window, CONTROL: control}
    return {name: reverse_complement(text) for name, text in both.items()} if turned else both


def _generator(chromosome: str, first: int, last: int) -> np.random.Generator:
    """Return the generator of one control: its seed is a digest of where the element lies, as published."""
    digest = hashlib.sha256(repr((SEED, chromosome, first, last)).encode("utf-8")).hexdigest()
    return np.random.default_rng(int(digest, 16) % 2**128)


def shuffled(text: str, rng: np.random.Generator) -> str:
    """Shuffle bases so that each pair of neighbours occurs as often as before.

    The walk of Altschul and Erickson (1985) with the last exit of each base held: the exits from A, C, G and T are
    permuted in this order, each with one draw of `rng`, as the suite does. As there, what is no base is read as A.

    Args:
        text: Bases in capitals.
        rng: Draws the permutations.
    """
    letters = np.frombuffer(text.translate({ord(c): "A" for c in set(text) - set("ACGT")}).encode("ascii"), np.uint8)
    exits: dict[int, list[int]] = {}
    for base in b"ACGT":
        after = np.flatnonzero(letters[:-1] == base) + 1
        if len(after):
            after[:-1] = after[rng.permutation(len(after) - 1)]
        exits[base] = after.tolist()[::-1]  # taken from the end
    out, place = bytearray([letters[0]]), 0
    for _ in range(len(letters) - 1):
        place = exits[letters[place]].pop()
        out.append(letters[place])
    return out.decode("ascii")
