"""BEND's supervised tasks: labels in a list or in an HDF5 file, windows, every base, or bins."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, matthews_corrcoef

import seqsuite
from seqdna.api import load
from seqdna.checkpoints.verification import verify_checkpoint
from seqdna.cli import main
from seqdna.configs.benchmark import BenchmarkConfig
from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.batches import ScoringSequences, padded_labels
from seqdna.finetuning.benchmark import options_of
from seqdna.finetuning.head import load_head
from seqdna.finetuning.labelled import IGNORE, decide, reverse_complement
from seqdna.finetuning.predict import outputs_along
from seqdna.finetuning.readers import read_labelled
from seqdna.finetuning.splits import plan_runs
from seqdna.finetuning.start import new_classifier, open_start
from seqdna.finetuning.suites import recognise
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

from .conftest import random_sequence

GENOME = random_sequence(np.random.default_rng(7), 4000)
BINS, BIN = 6, 8


def write_task(
    folder: Path, name: str, lines: list[str], labels=None, *, columns="chromosome\tstart\tend\tsplit"
) -> Path:
    """Write NAME/NAME.bed and, with labels, NAME/NAME.hdf5, as BEND's folders are laid out."""
    place = folder / name
    place.mkdir(parents=True)
    (place / f"{name}.bed").write_text("\n".join([columns, *lines]) + "\n")
    if labels is not None:
        with h5py.File(place / f"{name}.hdf5", "w") as file:
            if isinstance(labels, list):  # rows of unequal length
                data = file.create_dataset("labels", (len(labels),), dtype=h5py.vlen_dtype(np.int32))
                for number, row in enumerate(labels):
                    data[number] = row
            else:
                file["labels"] = labels
    return place / f"{name}.bed"


def splits(count: int) -> list[str]:
    return (["train"] * (count - 6) + ["valid"] * 3 + ["test"] * 3)[:count]


def base_classes(text: str) -> np.ndarray:
    """A made-up annotation that a network can learn: one class for A, one for C, one for G and T."""
    return np.array(["AC".find(letter) % 3 for letter in text])


@pytest.fixture
def folder(tmp_path) -> Path:
    """BEND's data folder: the genome, gene finding, enhancers in parts, and two window tasks."""
    top = tmp_path / "data"
    lengths = [40 + 5 * (i % 3) for i in range(18)]
    starts = np.cumsum([0, *lengths[:-1]])
    rows = [f"chr1\t{s}\t{s + n}\t{split}" for s, n, split in zip(starts, lengths, splits(18), strict=True)]
    genes = [base_classes(GENOME[s : s + n]) for s, n in zip(starts, lengths, strict=True)]
    genes[0][:4] = IGNORE
    write_task(top, "gene_finding", rows, genes)
    rows = [f"chr1\t{i * 48}\t{i * 48 + 48}\tpart{i % 5 + 1}" for i in range(20)]
    texts = [GENOME[i * 48 : i * 48 + 48] for i in range(20)]
    bins = np.array([["GG" in text[k * BIN : (k + 1) * BIN] for k in range(BINS)] for text in texts], dtype=np.float64)
    write_task(top, "enhancer_annotation", rows, bins)
    words = ["0,2", "1", "", "0", "2", "1,2"]
    rows = [f"chr1\t{i * 60}\t{i * 60 + 50}\t{'+-'[i % 2]}\t{words[i % 6]}\t{splits(24)[i]}" for i in range(24)]
    write_task(top, "histone_modification", rows, columns="chromosome\tstart\tend\tstrand\tlabel\tsplit")
    hot = np.array([[i % 2, (i // 2) % 2] for i in range(24)])
    rows = [f"chr1\t{i * 60}\t{i * 60 + 50}\t-\t{splits(24)[i]}" for i in range(24)]
    write_task(top, "cpg_methylation", rows, hot, columns="chromosome\tstart\tend\tstrand\tsplit")
    (tmp_path / "genome.fa").write_text(f">chr1\n{GENOME}\n")
    return top


def config_of(folder: Path, **options) -> FinetuneConfig:
    return FinetuneConfig("x", genome=str(folder.parent / "genome.fa"), **options)


def read(folder: Path, name: str):
    return decide(read_labelled(folder / name / f"{name}.bed", config_of(folder)))


def test_every_task_is_recognised_with_its_metric_and_protocol(folder) -> None:
    tasks = {task.name: task for task in recognise(folder)}
    metrics = {name: task.metric for name, task in tasks.items()}
    assert metrics == {
        "gene_finding": "mcc", "enhancer_annotation": "auprc", "histone_modification": "auroc",
        "cpg_methylation": "auroc",
    }  # fmt: skip
    frozen = BenchmarkConfig(str(folder), model="m", mode="frozen")
    numbers = {name: options_of(task, frozen) for name, task in tasks.items()}
    found = {n: (o.epochs, o.batch_size, o.lr, o.positive_weight) for n, o in numbers.items()}
    assert found["gene_finding"] == (100, 64, 3e-3, 1)  # conf/supervised_tasks of BEND
    assert found["enhancer_annotation"] == (100, 8, 1e-3, 82.86)
    assert found["histone_modification"] == found["cpg_methylation"] == (100, 256, 3e-3, 1)
    whole = options_of(tasks["gene_finding"], dataclasses.replace(frozen, mode="full"))
    assert (whole.epochs, whole.batch_size, whole.lr) == (10, 64, 1e-3)
    assert options_of(tasks["gene_finding"], dataclasses.replace(frozen, lr=5e-4, epochs=2)).lr == 5e-4


def test_labels_of_every_base(folder) -> None:
    data = read(folder, "gene_finding")
    assert (data.problem, data.bases_per_label, data.classes) == ("classification", 1, ("0", "1", "2"))
    assert data.splits == tuple(splits(18))
    for text, target in zip(data.sequences, data.targets, strict=True):
        assert target[4:].tolist() == base_classes(text)[4:].tolist()
    assert (data.targets[0][:4] == IGNORE).all()
    assert len(data.judged()) == sum(map(len, data.sequences)) - 4
    assert IGNORE not in data.judged()


def test_labels_of_bins_and_rows_filled_up_to_the_longest(folder, tmp_path) -> None:
    data = read(folder, "enhancer_annotation")
    assert (data.problem, data.bases_per_label, data.classes) == ("multi_label", BIN, ("label",))
    for text, target in zip(data.sequences, data.targets, strict=True):
        assert target[:, 0].tolist() == ["GG" in text[k * BIN : (k + 1) * BIN] for k in range(BINS)]
    padded = np.array([[0, 1, 2, IGNORE, IGNORE], [2, 1, 0, 1, 2]])
    write_task(tmp_path / "data2", "gene_finding", ["chr1\t0\t3\ttrain", "chr1\t5\t10\ttest"], padded)
    found = decide(read_labelled(tmp_path / "data2/gene_finding/gene_finding.bed", config_of(folder)))
    assert [target.tolist() for target in found.targets] == [[0, 1, 2], [2, 1, 0, 1, 2]]


def test_several_labels_of_a_window_on_its_strand(folder) -> None:
    data = read(folder, "histone_modification")
    assert (data.problem, data.bases_per_label, data.classes) == ("multi_label", 0, ("0", "1", "2"))
    assert data.targets[:6].tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert data.sequences[0] == GENOME[:50]
    assert data.sequences[1] == reverse_complement(GENOME[60:110])
    other = read(folder, "cpg_methylation")
    assert other.targets[:4].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert other.sequences[0] == reverse_complement(GENOME[:50])


def test_each_numbered_part_is_held_out_once_and_the_next_validates(folder) -> None:
    data = read(folder, "enhancer_annotation")
    plans = plan_runs(data)
    assert len(plans) == 5
    words = np.array(data.splits)
    for number, plan in enumerate(plans, start=1):
        assert set(words[plan.test]) == {f"part{number}"}
        assert set(words[plan.valid]) == {f"part{number % 5 + 1}"}
        assert len({*plan.train, *plan.valid, *plan.test}) == len(plan.train) + len(plan.valid) + len(plan.test) == 20
    assert len(plan_runs(data, parts=2, seeds=2)) == 4
    with pytest.raises(UserError, match="leave out --folds"):
        plan_runs(data, folds=3)
    mixed = dataclasses.replace(data, splits=("train", *data.splits[1:]))
    with pytest.raises(UserError, match=r"numbered parts.* and 'train' too"):
        plan_runs(mixed)


def test_padded_labels_stand_where_the_bases_do() -> None:
    rows = [np.array([1, 2]), np.array([3, 4, 5])]
    assert padded_labels(rows, 3, "right").tolist() == [[1, 2, IGNORE], [3, 4, 5]]
    assert padded_labels(rows, 3, "left").tolist() == [[IGNORE, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "caduceus_ph_debug", "hyenadna_debug"])
@pytest.mark.parametrize("bases", [1, 4])
def test_what_a_place_gives_does_not_depend_on_padding(name, bases) -> None:
    """Read alone and in one padded batch: the same outputs, place by place."""
    options = {"head": "sequence_classification", "classifier": "positions", "num_classes": 3, "padding": "masked"}
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **options, vocab_size=12, bases_per_label=bases).eval()
    tokens = torch.randint(7, 11, (1, 32))
    alone = model(tokens[:, :20])
    assert alone.shape == (1, 20 // bases, 3)
    for front in (0, 8):
        row = torch.full((1, 32), 4)
        row[:, front : front + 20] = tokens[:, :20]
        inside = model(torch.cat((row, tokens)))[:1, front // bases : (front + 20) // bases]
        torch.testing.assert_close(inside, alone, atol=1e-5, rtol=0)


def test_places_of_an_equivariant_model_turn_with_the_strand() -> None:
    """Without strand_specific: outputs of the reverse complement are the outputs, read backwards."""
    options = {"head": "sequence_classification", "classifier": "positions", "num_classes": 3, "bases_per_label": 4}
    torch.manual_seed(0)
    model = seqsuite.create_model("caduceus_ps_debug", **options).double().eval()
    ids = torch.randint(7, 11, (2, 24))
    torch.testing.assert_close(model(model.complement[ids].flip(1)), model(ids).flip(1), atol=1e-12, rtol=0)
    own = seqsuite.create_model("caduceus_ps_debug", **options, strand_specific=True).double().eval()
    assert not torch.allclose(own(own.complement[ids].flip(1)), own(ids).flip(1))


def test_outputs_along_are_in_the_order_of_the_labels(folder, pretrained) -> None:
    data = read(folder, "gene_finding")
    config = config_of(folder, model=str(pretrained), mode="frozen")
    start = open_start(config)
    for side in ("left", "right"):
        words = dataclasses.replace(start.tokenizer, padding_side=side)
        model = new_classifier(start, config, outputs=3, bases_per_label=1).eval()
        assert model.config.strand_specific  # both strands side by side: gene finding has classes of either
        together = outputs_along(model, words, data)
        with torch.inference_mode():
            alone = [model(torch.from_numpy(words.encode(text)[None].astype(np.int64)))[0] for text in data.sequences]
        alone[0] = alone[0][4:]
        np.testing.assert_allclose(together, torch.cat(alone).numpy(), atol=1e-5)
        batch = ScoringSequences(data, words).collate([(0, data.sequences[0], data.targets[0])])
        assert batch["labels"].shape == batch["input_ids"].shape


def test_one_command_trains_every_task(folder, pretrained, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ["benchmark", str(folder), "--model", str(pretrained), "--mode", "frozen", "--quick", "--threads", "1"]
    words += ["--genome", str(tmp_path / "genome.fa"), "--baselines", "true", "--out", str(out)]
    assert main(words) == 0
    assert "gene_finding" in capsys.readouterr().out
    rows = {row["task"]: row for row in json.loads((out / "summary.json").read_text())["rows"]}
    assert {name: row["metric"] for name, row in rows.items()} == {
        "gene_finding": "mcc", "enhancer_annotation": "auprc", "histone_modification": "auroc",
        "cpg_methylation": "auroc",
    }  # fmt: skip
    assert all(len(row["values"]) == 1 for row in rows.values())
    assert set(rows["gene_finding"]["baselines"]) == {"majority class", "one-hot bases, two convolutions"}
    model = load(out / "gene_finding").model
    assert model.config.classifier == "positions"
    weights, before = model.state_dict(), load(pretrained).model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in before.items() if name.startswith("backbone"))
    assert (
        main(["predict", str(out / "gene_finding"), str(tmp_path / "genome.fa"), "--out", str(tmp_path / "p.csv")]) == 2
    )
    assert "labels places along a sequence" in capsys.readouterr().err


def test_the_figures_are_scikit_learns_over_all_places(folder, pretrained, tmp_path) -> None:
    """The run's MCC and AUPRC against the metric computed here from the exported model's own outputs."""
    for name, metric in (("gene_finding", "mcc"), ("enhancer_annotation", "auprc")):
        out = tmp_path / name
        words = ["finetune", str(folder / name / f"{name}.bed"), "--model", str(pretrained), "--epochs", "3"]
        words += ["--genome", str(tmp_path / "genome.fa"), "--metric", metric, "--baselines", "false", "--parts", "1"]
        assert main([*words, "--lr", "3e-3", "--batch_size", "4", "--threads", "1", "--out", str(out)]) == 0
        data = read(folder, name)
        test = data.take(plan_runs(data, parts=1)[0].test)
        loaded = load(out)
        head = load_head(out)
        assert head.bases_per_label == data.bases_per_label
        outputs = outputs_along(loaded.model, loaded.tokenizer, test)
        truth = np.concatenate([target[target.reshape(len(target), -1)[:, 0] != IGNORE] for target in test.targets])
        if metric == "mcc":
            expected = matthews_corrcoef(truth, outputs.argmax(1))
        else:
            expected = average_precision_score(truth[:, 0], outputs[:, 0])
        assert json.loads((out / "summary.json").read_text())["test_mean"][metric] == pytest.approx(expected, abs=1e-6)
        with open(out / "predictions.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        assert sum(int(line["labels"]) for line in lines) == len(truth)
        if metric == "mcc":
            assert sum(int(line["right"]) for line in lines) == (outputs.argmax(1) == truth).sum()


def test_a_network_learns_what_stands_at_each_base(folder, tmp_path) -> None:
    """The made-up annotation is the base itself: two convolutions on one-hot bases must find nearly all of it."""
    out = tmp_path / "run"
    words = ["finetune", str(folder / "gene_finding/gene_finding.bed"), "--model", "caduceus_ps_debug", "--steps", "60"]
    words += ["--genome", str(tmp_path / "genome.fa"), "--metric", "mcc", "--batch_size", "4", "--lr", "1e-2"]
    assert main([*words, "--threads", "1", "--out", str(out)]) == 0
    found = json.loads((out / "summary.json").read_text())
    assert found["baselines"]["one-hot bases, two convolutions"][0]["mcc"] == pytest.approx(1.0, abs=0.1)
    assert found["test_mean"]["mcc"] > 0.9
    assert found["baselines"]["majority class"][0]["mcc"] == 0


def refused(capsys, folder: Path, *more: str) -> str:
    words = ["benchmark", str(folder), "--model", "caduceus_ps_debug", "--quick", "--out", str(folder.parent / "out")]
    assert main([*words, "--genome", str(folder.parent / "genome.fa"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not (folder.parent / "out").exists()
    return line


def test_bad_hdf5_files_are_refused_in_one_line(folder, capsys) -> None:
    task = ("--only", "gene_finding")
    bed, labels = (folder / "gene_finding" / f"gene_finding.{end}" for end in ("bed", "hdf5"))
    kept = labels.read_bytes()
    with h5py.File(labels, "a") as file:
        file.move("labels", "label")
    assert "no dataset 'labels' of records. Did you mean 'label'?" in refused(capsys, folder, *task)
    labels.write_bytes(kept)
    with h5py.File(labels, "a") as file:
        file["labels"][3] = np.zeros(7, dtype=np.int32)
    line = refused(capsys, folder, *task)
    assert "record 3 of 'labels' has 7 labels, and the 40 bases of gene_finding.bed, line 5, need 40" in line
    labels.write_bytes(kept[: len(kept) // 2])
    assert "is no HDF5 file that can be read" in refused(capsys, folder, *task)
    labels.unlink()
    assert "beside it lies no gene_finding.hdf5" in refused(capsys, folder, *task)
    labels.write_bytes(kept)
    lines = bed.read_text().splitlines()
    bed.write_text("\n".join(lines[:-1]) + "\n")
    assert "'labels' has 18 records, and gene_finding.bed has 17 rows" in refused(capsys, folder, *task)
    with h5py.File(labels, "w") as file:
        file["labels"] = np.full((17, 40), 0.5)
    assert "record 0 of 'labels' holds what is no row of whole numbers" in refused(capsys, folder, *task)


def test_bad_rows_are_refused_in_one_line(folder, capsys) -> None:
    bed = folder / "histone_modification" / "histone_modification.bed"
    kept = bed.read_text()
    for old, new, words in (
        ("chr1\t60\t", "1\t60\t", "line 3: genome.fa has no sequence '1'. Did you mean 'chr1'?"),
        ("chr1\t60\t", "chr1\t6000\t", "line 3"),
        ("\t0,2\ttrain", "\t0;2\ttrain", "line 2: the labels are '0;2'"),
        ("\t0,2\ttrain", "\t0,2\ttrian", "line 2: the split is 'trian'"),
        ("\t0,2\ttrain", "\t0,2", "line 2: has 5 cells, the header has 6"),
    ):
        bed.write_text(kept.replace(old, new, 1))
        assert words in refused(capsys, folder, "--only", "histone_modification")
    hot = folder / "cpg_methylation" / "cpg_methylation.hdf5"
    with h5py.File(hot, "a") as file:
        file["labels"][2, 1] = 3
    assert "record 2 of 'labels' holds 3; a window's labels are 0 or 1" in refused(
        capsys, folder, "--only", "cpg_methylation"
    )


def test_options_that_mean_nothing_along_a_sequence_are_refused(folder, pretrained, tmp_path, capsys) -> None:
    words = ["finetune", str(folder / "gene_finding/gene_finding.bed"), "--genome", str(tmp_path / "genome.fa")]
    words += ["--model", str(pretrained), "--out", str(tmp_path / "out")]
    for more in (["--mode", "probe"], ["--crop", "10"], ["--rc_augment", "true"], ["--classifier", "conv"]):
        assert main([*words, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.split(":")[1].strip().startswith(more[0].removeprefix("--")) or more[0] in line
        assert "labels along its sequences" in line
    assert main([*words, "--problem", "regression"]) == 2
    assert "is a classification problem" in capsys.readouterr().err


@pytest.mark.parametrize("bases", [1, 8])
@pytest.mark.parametrize("strand_specific", [False, True])
def test_verify_measures_a_model_of_places(tmp_path, capsys, bases, strand_specific) -> None:
    """`seqdna verify` holds such a model to the laws that it has: padding, and the strand where it is equivariant."""
    words = NucleotideTokenizer()
    options = {"head": "sequence_classification", "classifier": "positions", "bases_per_label": bases}
    torch.manual_seed(0)
    model = seqsuite.create_model(
        "caduceus_ps_debug", **options, strand_specific=strand_specific, vocab_size=words.vocab_size
    )
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(words.to_dict()))
    found = verify_checkpoint(str(tmp_path / "model"), length=64)
    checks = {check.name: check for check in found.checks}
    assert checks["padding effect"].limit is not None
    assert checks["padding effect"].value <= checks["padding effect"].limit
    strand = checks["RC-equivariance error (float64)"]
    assert (strand.limit is None) == strand_specific
    assert strand.limit is None or strand.value <= strand.limit
