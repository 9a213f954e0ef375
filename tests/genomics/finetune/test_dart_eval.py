"""DART-Eval's tasks 1 to 3: elements beside shuffled controls, cell types, and footprints judged without training."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.cli import main
from seqdna.configs.benchmark import BenchmarkConfig
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.benchmark import options_of
from seqdna.finetuning.dart_eval import shuffled
from seqdna.finetuning.footprints import Footprint, footprints, read_footprints
from seqdna.finetuning.labelled import decide, reverse_complement
from seqdna.finetuning.readers import read_labelled
from seqdna.finetuning.suites import recognise
from seqdna.likelihood import everywhere, log_of_true
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

from .conftest import random_sequence

RNG = np.random.default_rng(11)
GENOME = {name: random_sequence(RNG, 1500) for name in ("chr1", "chr2", "chr6", "chr5", "chrM")}
ELEMENTS = (
    "chr\tinput_start\tinput_end\tccre_start\tccre_end\tccre_relative_start\tccre_relative_end\treverse_complement"
)
PEAKS = "chr\tinput_start\tinput_end\telem_start\telem_end\tis_peak\tlabel"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a file of each task, and the genome beside it."""
    top = tmp_path / "dart"
    top.mkdir()
    elements, peaks = [ELEMENTS], [PEAKS]
    for chromosome in GENOME:
        for i in range(10):
            start = i * 70
            turned = str(i % 2 == 1)
            elements.append(f"{chromosome}\t{start}\t{start + 60}\t{start + 10}\t{start + 50}\t10\t50\t{turned}")
            peaks.append(
                f"{chromosome}\t{start}\t{start + 50}\t{start}\t{start + 50}\tTrue\t{('K562', 'H1ESC')[i % 2]}"
            )
    (top / "ENCFF420VPZ_processed.tsv").write_text("\n".join(elements) + "\n")
    (top / "peaks_by_cell_label.tsv").write_text("\n".join(peaks) + "\n")
    lines = []
    for number in range(3):
        text = random_sequence(np.random.default_rng(number), 24)
        for strand in ("forward", "reverse"):
            lines.append(f"{number}_raw_{strand}\t{text}")
        for motif, letters in (("GATA1.H12CORE.0.P.B", "GATAAG"), ("SP1_B", "GGGCGG")):
            for strand in ("forward", "reverse"):
                for kind, put in (("true", letters), ("shuffled", letters[::-1])):
                    whole = text[:9] + put + text[15:]
                    whole = whole if strand == "forward" else reverse_complement(whole)
                    lines.append(f"{number}_{motif}_{strand}_{kind}\t{whole}")
    (top / "footprint_dataset_350.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{text}\n" for name, text in GENOME.items()))
    return top


def read(folder: Path, name: str):
    return decide(read_labelled(folder / f"{name}.tsv", FinetuneConfig("x", genome=str(folder.parent / "genome.fa"))))


def test_the_tasks_are_recognised_with_their_recipes(folder) -> None:
    tasks = {task.name: task for task in recognise(folder)}
    assert {name: (task.suite.name, task.metric, task.zero_shot) for name, task in tasks.items()} == {
        "ENCFF420VPZ_processed": ("DART-Eval", "accuracy", False),
        "peaks_by_cell_label": ("DART-Eval", "accuracy", False),
        "footprint_dataset_350": ("DART-Eval", "accuracy", True),
    }
    names = ("ENCFF420VPZ_processed", "peaks_by_cell_label")
    found = [options_of(tasks[name], BenchmarkConfig("x", model="m", mode="lora")) for name in names]
    assert {(o.epochs, o.batch_size, o.lr, o.lora_rank, o.lora_alpha) for o in found} == {
        (20, 128, 1e-4, 8, 16), (40, 128, 1e-4, 8, 16),
    }  # fmt: skip


def test_an_element_and_its_control_differ_in_the_element_alone(folder) -> None:
    data = read(folder, "ENCFF420VPZ_processed")
    assert data.classes == ("control", "element")
    assert Counter(data.splits) == {"train": 40, "valid": 20, "test": 20}  # chr1 and 2, 6, 5; chrM is left out
    assert Counter(data.targets.tolist()) == {0: 40, 1: 40}
    for number in range(0, 40, 2):
        element, control = data.sequences[number : number + 2]
        row = number // 2
        text = GENOME["chr1" if row < 10 else "chr2"][row % 10 * 70 :][:60]
        assert data.targets[number : number + 2].tolist() == [1, 0]
        assert element == (reverse_complement(text) if row % 2 else text)
        assert control[:10] == element[:10] and control[50:] == element[50:]  # noqa: PT018
        assert Counter(pairwise(control[10:50])) == Counter(pairwise(element[10:50]))
        assert control != element


def walk(text: str, rng: np.random.Generator) -> str:
    """The published procedure, written another way: successors of each letter, one permutation a letter, a pointer."""
    tokens = ["ACGT".index(letter) for letter in text]
    after = [[place + 1 for place, token in enumerate(tokens[:-1]) if token == letter] for letter in range(4)]
    for letter in range(4):
        order = rng.permutation(len(after[letter]) - 1).tolist()
        after[letter] = [after[letter][k] for k in order] + after[letter][-1:]
    place, pointers, out = 0, [0] * 4, text[:1]
    while len(out) < len(text):
        letter = tokens[place]
        place = after[letter][pointers[letter]]
        pointers[letter] += 1
        out += text[place]
    return out


def test_the_shuffle_keeps_neighbours_and_is_the_published_walk(folder) -> None:
    for seed, text in enumerate([random_sequence(RNG, 200), "ACACACACGT" * 5, "AAAA", "A", "ACG"]):
        found = shuffled(text, np.random.default_rng(seed))
        assert found == walk(text, np.random.default_rng(seed))
        assert Counter(pairwise(found)) == Counter(pairwise(text))
        assert (found[0], found[-1]) == (text[0], text[-1])
    assert shuffled("NNAN", np.random.default_rng(0)) == "AAAA"
    data = read(folder, "ENCFF420VPZ_processed")  # the seed of a control is the digest of seed and place
    digest = hashlib.sha256(b"(0, 'chr1', 10, 50)").hexdigest()
    expected = walk(GENOME["chr1"][10:50], np.random.default_rng(int(digest, 16) % 2**128))
    assert data.sequences[1][10:50] == expected


def test_windows_beyond_the_chromosome_are_filled_with_n(folder) -> None:
    path = folder / "peaks_by_cell_label.tsv"
    path.write_text(path.read_text() + "chr1\t1480\t1530\t1480\t1530\tTrue\tK562\n")
    data = read(folder, "peaks_by_cell_label")
    assert data.sequences[-1] == GENOME["chr1"][1480:] + "N" * 30
    assert data.classes == ("H1ESC", "K562")
    assert set(zip(data.sequences[:2], data.splits[:2], strict=True)) == {
        (GENOME["chr1"][:50], "train"), (GENOME["chr1"][70:120], "train"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("caduceus_ps_debug", {"head": "masked_lm"}),
        ("caduceus_ph_debug", {"head": "causal_lm", "bidirectional": False}),
        ("leave_one_out_debug", {"head": "leave_one_out"}),
    ],
)
def test_footprints_are_judged_by_the_sum_over_all_bases(folder, name, options) -> None:
    torch.manual_seed(1)
    words = NucleotideTokenizer()
    model = seqsuite.create_model(name, **options, vocab_size=words.vocab_size).eval()
    pairs = read_footprints(folder / "footprint_dataset_350.txt")
    assert len(pairs) == 12
    assert {pair.motif for pair in pairs} == {"GATA1.H12CORE.0.P.B", "SP1_B"}
    seen: list[int] = []
    found = footprints(model, words, pairs, batch_tokens=120, progress=seen.append)
    assert seen[-1] == 12

    def likelihood(text: str) -> float:
        ids = words.encode(text)
        return float(np.nansum(log_of_true(everywhere(model, words, ids), ids, words)))

    for motif, count, share in zip(found.motifs, found.pairs, found.shares, strict=True):
        own = [pair for pair in pairs if pair.motif == motif]
        assert (count, share) == (6, np.mean([likelihood(p.true) >= likelihood(p.shuffled) for p in own]))
    same = footprints(model, words, [Footprint("m", "ACGTACGT", "ACGTACGT")])
    assert same.accuracy == 1.0  # a tie counts as found, as published


def test_one_command_does_all_three_tasks(folder, pretrained, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ["benchmark", str(folder), "--model", str(pretrained), "--mode", "lora", "--quick", "--threads", "1"]
    words += ["--genome", str(tmp_path / "genome.fa"), "--out", str(out)]
    assert main(words) == 0
    assert "accuracy, zero-shot" in capsys.readouterr().out
    rows = {row["task"]: row for row in json.loads((out / "summary.json").read_text())["rows"]}
    assert len(rows) == 3
    with open(out / "footprint_dataset_350" / "footprints.csv", newline="") as file:
        each = [float(line["accuracy"]) for line in csv.DictReader(file)]
    assert rows["footprint_dataset_350"]["values"] == [pytest.approx(np.mean(each))]
    result = out / "footprint_dataset_350" / "result.json"
    result.write_text(json.dumps({"accuracy": 0.25}))  # what is done is not done again
    assert main([*words, "--only", "footprint_dataset_350", "--resume"]) == 0
    assert "0.250" in capsys.readouterr().out


def refused(capsys, folder: Path, model: str, *more: str) -> str:
    words = ["benchmark", str(folder), "--model", model, "--quick", "--out", str(folder.parent / "out")]
    assert main([*words, "--genome", str(folder.parent / "genome.fa"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not (folder.parent / "out").exists()
    return line


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("ENCFF420VPZ_processed.tsv", "\tTrue\n", "\tperhaps\n", "line 3: reverse_complement is 'perhaps'"),
        (
            "ENCFF420VPZ_processed.tsv",
            "chr1\t0\t60\t10\t50",
            "chr1\t0\t60\t10\tx",
            "line 2: ccre_start '10' and ccre_end",
        ),
        ("ENCFF420VPZ_processed.tsv", "chr1\t0\t60\t10\t50", "chr1\t0\t60\t90\t95", "line 2: the element 90-95 lies"),
        (
            "peaks_by_cell_label.tsv",
            "chr1\t0\t50",
            "chr7\t0\t50",
            "line 2: genome.fa has no sequence 'chr7'. Did you mean",
        ),
        ("peaks_by_cell_label.tsv", "chr1\t0\t50", "chr1\t9000\t9050", "line 2: chr1:9000-9050 lies outside of 'chr1'"),
        ("peaks_by_cell_label.tsv", "\tTrue\tK562\n", "\tTrue\n", "line 2: has 6 cells, the header has 7"),
        ("footprint_dataset_350.txt", "_forward_shuffled", "_forward_shufled", "line 4: expected NUMBER_MOTIF"),
        (
            "footprint_dataset_350.txt",
            "_forward_shuffled",
            "_reverse_shuffled",
            "expected 0_GATA1.H12CORE.0.P.B_forward",
        ),
        ("footprint_dataset_350.txt", "GATAAG", "GATAA", "line 4: has 24 bases, the line before 23"),
        ("footprint_dataset_350.txt", "GATAAG", "GAT!AG", "line 3: '!' at position 12 of the sequence"),
    ],
)
def test_bad_files_are_refused_in_one_line(folder, pretrained, capsys, file, old, new, words) -> None:
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert words in refused(capsys, folder, str(pretrained))


def test_a_model_that_cannot_be_judged_is_refused_before_anything_is_trained(folder, tmp_path, capsys) -> None:
    assert "footprints judge a trained language model" in refused(capsys, folder, "caduceus_ps_debug")
    classifier = tmp_path / "classifier"
    words = NucleotideTokenizer()
    model = seqsuite.create_model("caduceus_ps_debug", head="sequence_classification", vocab_size=words.vocab_size)
    model.save_pretrained(classifier)
    (classifier / "tokenizer.json").write_text(json.dumps(words.to_dict()))
    only = ("--only", "footprint_dataset_350")
    assert "predicts no bases" in refused(capsys, folder, str(classifier), *only)


def test_a_table_without_a_row_of_the_split_is_refused(folder) -> None:
    (folder / "x.tsv").write_text(PEAKS + "\nchrM\t0\t50\t0\t50\tTrue\tK562\n")
    with pytest.raises(UserError, match="no row lies on one of the chromosomes"):
        read(folder, "x")
