"""Benchmark folders: recognised by their layout, trained with one command, shown beside the published figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from seqdna.cli import main
from seqdna.configs.benchmark import BenchmarkConfig
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.benchmark import options_of
from seqdna.finetuning.labelled import decide, reverse_complement
from seqdna.finetuning.readers import read_labelled
from seqdna.finetuning.suites import recognise
from seqsuite.errors import UserError

from .conftest import motif_rows


@pytest.fixture
def folder(tmp_path) -> Path:
    """One data set in each of the layouts, all with the same rows."""
    top = tmp_path / "suite"
    genome, offset = [], 0
    bend = ["chromosome\tstart\tend\tsplit\tlabel"]
    for split, count, seed in (("train", 30, 0), ("test", 10, 1)):
        rows = motif_rows(count, seed=seed)
        (top / "H3").mkdir(parents=True, exist_ok=True)
        (top / "H3" / f"{split}.fna").write_text("".join(f">s{i}|{y}\n{s}\n" for i, (s, y) in enumerate(rows)))
        intervals: dict[str, list[str]] = {"0": [], "1": []}
        for number, (text, label) in enumerate(rows):
            texts = top / "human_enhancers_cohn" / split / ("positive" if label == "1" else "negative")
            texts.mkdir(parents=True, exist_ok=True)
            (texts / f"{number}.txt").write_text(text)
            minus = number % 3 == 0
            genome.append(reverse_complement(text) if minus else text)
            intervals[label].append(f"{number},chr1,{offset},{offset + len(text)},{'-' if minus else '+'}")
            if not minus:
                bend.append(f"chr1\t{offset}\t{offset + len(text)}\t{split}\t{label}")
            offset += len(text)
        for label, lines in intervals.items():
            place = top / "human_ocr_ensembl" / split
            place.mkdir(parents=True, exist_ok=True)
            content = "\n".join(["id,region,start,end,strand", *lines]) + "\n"
            (place / f"{'positive' if label == '1' else 'negative'}.csv.gz").write_bytes(
                gzip.compress(content.encode())
            )
    (top / "enhancer_annotation.bed").write_text("\n".join(bend) + "\n")
    (tmp_path / "genome.fa").write_text(">chr1\n" + "".join(genome) + "\n")
    return top


def test_every_layout_is_recognised(folder) -> None:
    found = {task.name: (task.suite.name, task.metric) for task in recognise(folder)}
    assert found == {
        "human_enhancers_cohn": ("Genomic Benchmarks", "accuracy"),
        "human_ocr_ensembl": ("Genomic Benchmarks", "accuracy"),
        "H3": ("Nucleotide Transformer tasks", "mcc"),
        "enhancer_annotation": ("BEND", "auto"),
    }
    (alone,) = recognise(folder / "H3")
    assert alone.name == "H3"
    assert [task.name for task in recognise(folder, ("H3",))] == ["H3"]
    with pytest.raises(UserError, match="Did you mean 'H3'"):
        recognise(folder, ("H33",))


def test_every_layout_gives_the_same_rows(folder) -> None:
    config = FinetuneConfig("x", genome=str(folder.parent / "genome.fa"))
    names = ("H3", "human_enhancers_cohn", "human_ocr_ensembl")
    sets = [decide(read_labelled(folder / name, config)) for name in names]
    contents = [set(zip(s.sequences, s.targets.tolist(), s.splits, strict=True)) for s in sets]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 40
    bend = decide(read_labelled(folder / "enhancer_annotation.bed", config))
    assert set(zip(bend.sequences, bend.targets.tolist(), bend.splits, strict=True)) < contents[0]


def test_published_recipes_are_taken_where_nothing_is_said(folder) -> None:
    tasks = {task.name: task for task in recognise(folder)}
    config = BenchmarkConfig(str(folder), model="caduceus_ps_debug")
    first, second = (options_of(tasks[name], config) for name in ("human_enhancers_cohn", "H3"))
    assert (first.epochs, first.batch_size, first.seeds, first.valid_fraction) == (10, 256, 5, 0.1)
    assert (second.epochs, second.batch_size, second.seeds, second.metric) == (20, 128, 10, "mcc")
    mine = options_of(tasks["H3"], BenchmarkConfig(str(folder), model="m", seeds=2, epochs=3.0, batch_size=8))
    assert (mine.epochs, mine.batch_size, mine.seeds) == (3, 8, 2)


def test_the_command_prints_the_table_of_the_papers(folder, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ["benchmark", str(folder), "--model", "caduceus_ps_debug", "--quick", "--threads", "1", "--out", str(out)]
    words += ["--genome", str(folder.parent / "genome.fa")]
    assert main([*words, "--only", "H3,human_ocr_ensembl,enhancer_annotation"]) == 0
    shown = capsys.readouterr().out
    assert "Human OCR Ensembl" in shown
    assert "0.815" in shown  # H3, Caduceus-Ph, as published
    assert "0.818 +- 0.006" in shown  # OCR, Caduceus-PS, as published
    assert "[p] are published, not run here" in shown
    assert "its figures mean nothing" in shown
    rows = json.loads((out / "summary.json").read_text())["rows"]
    assert {row["task"] for row in rows} == {"H3", "human_ocr_ensembl", "enhancer_annotation"}
    assert all(len(row["values"]) == 1 for row in rows)
    assert main([*words, "--only", "H3"]) == 2
    assert "--resume or --overwrite" in capsys.readouterr().err
    result = out / "H3" / "runs" / "seed_0" / "result.json"
    before = result.stat().st_mtime_ns
    assert main([*words, "--only", "H3", "--resume"]) == 0
    assert result.stat().st_mtime_ns == before


def test_a_folder_of_something_else(tmp_path, capsys) -> None:
    (tmp_path / "x").mkdir()
    assert main(["benchmark", str(tmp_path), "--model", "caduceus_ps_debug"]) == 2
    assert "holds no data set" in capsys.readouterr().err
    assert main(["benchmark", str(tmp_path / "nowhere"), "--model", "caduceus_ps_debug"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_predict_reads_tables_and_fasta(folder, tmp_path, capsys) -> None:
    words = ["finetune", str(folder / "H3"), "--model", "caduceus_ps_debug", "--epochs", "1", "--threads", "1"]
    assert main([*words, "--baselines", "false", "--out", str(tmp_path / "run")]) == 0
    texts = {"a": "ACGTACGTAA", "b": "GGGGGGG"}
    (tmp_path / "s.fa").write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
    (tmp_path / "s.csv").write_text("seq\n" + "".join(f"{text}\n" for text in texts.values()))
    for name in ("s.fa", "s.csv"):
        out = tmp_path / f"{name}.out.csv"
        assert main(["predict", str(tmp_path / "run"), str(tmp_path / name), "--out", str(out)]) == 0
    one, two = ((tmp_path / f"{name}.out.csv").read_text().splitlines() for name in ("s.fa", "s.csv"))
    assert one[0] == "sequence,predicted,0,1"
    assert [line.partition(",")[2] for line in one] == [line.partition(",")[2] for line in two]
    assert [line.partition(",")[0] for line in two[1:]] == ["line 2", "line 3"]


def test_a_mistake_in_the_last_data_set_is_told_before_the_first_is_trained(tmp_path, capsys) -> None:
    suite = tmp_path / "suite"
    for name, labels in (("A", "01"), ("B", "00")):
        (suite / name).mkdir(parents=True)
        for split in ("train", "test"):
            rows = "".join(f">s{i}|{labels[i % 2]}\nACGTTATAAGCG\n" for i in range(20))
            (suite / name / f"{split}.fna").write_text(rows)
    words = ["benchmark", str(suite), "--model", "caduceus_ps_debug", "--quick", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "B: all 40 rows have the label '0'" in line
    assert not (tmp_path / "out").exists()
