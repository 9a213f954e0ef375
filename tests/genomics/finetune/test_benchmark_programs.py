"""What benchmarks/labelled.py and benchmarks/splice_genes.py take out of their files, and how they count."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
import shutil
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from seqdna.finetuning.labelled import reverse_complement

from .conftest import random_sequence

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
WINDOW = 20
PARTS = {"train": (0, 6000), "valid": (6000, 8000), "test": (8000, 12_000)}


@pytest.fixture(scope="module", autouse=True)
def _path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def labelled(_path) -> ModuleType:
    return importlib.import_module("labelled")


@pytest.fixture(scope="module")
def splice(_path) -> ModuleType:
    return importlib.import_module("splice_genes")


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Path, Path, str]:
    """A genome with a gene of three exons every 500 bases, strands in turn, introns GT..AG; and its GFF3."""
    folder = tmp_path_factory.mktemp("splice")
    text = list(random_sequence(np.random.default_rng(1), 12_000))
    lines = ["##gff-version 3"]
    for number, first in enumerate(range(100, 11_700, 500)):
        strand = "+-"[number % 2]
        exons = [(first, first + 60), (first + 120, first + 180), (first + 240, first + 300)]
        for (_, start), (end, _) in pairwise(exons):
            opens, closes = ("GT", "AG") if strand == "+" else ("CT", "AC")  # -: AG and GT of the other strand
            text[start : start + 2], text[end - 2 : end] = opens, closes
        lines.append(f"c\tx\tgene\t{first + 1}\t{first + 300}\t.\t{strand}\t.\tID=g{number}")
        lines.append(f"c\tx\tmRNA\t{first + 1}\t{first + 300}\t.\t{strand}\t.\tID=t{number};Parent=g{number}")
        for start, end in exons:
            for kind, phase in (("exon", "."), ("CDS", "0")):
                lines.append(f"c\tx\t{kind}\t{start + 1}\t{end}\t.\t{strand}\t{phase}\tParent=t{number}")
    fasta, gff = folder / "c.fa", folder / "c.gff3"
    fasta.write_text(">c made up\n" + "".join(text).lower() + "\n")
    gff.write_text("\n".join(lines) + "\n")
    return fasta, gff, "".join(text)


@pytest.fixture
def material(splice, genome):
    return splice.prepare(*genome[:2], PARTS, window=WINDOW, decoys=2, seed=3)


def test_every_intron_gives_one_donor_and_one_acceptor_on_either_strand(splice, genome, material) -> None:
    for part, genes in material.genes.items():
        assert {gene.strand for gene in genes} == {"+", "-"}
        for task in ("donor", "acceptor"):
            assert material.sample[part, task].truth.sum() == 2 * len(genes)
    for task, candidates in material.every.items():
        assert candidates.truth.sum() == material.annotated[task] == 2 * len(material.genes["test"])


def test_windows_hold_their_dinucleotide_in_the_middle_of_the_transcribed_strand(splice, genome, material) -> None:
    text = genome[2]
    other = reverse_complement(text)
    for task, word in splice.DINUCLEOTIDES.items():
        for strand, place in material.every[task].places:
            window = splice.window_of(material.text, (strand, place), WINDOW)
            assert len(window) == WINDOW
            assert window[WINDOW // 2 : WINDOW // 2 + 2] == word
            # The same window cut from the strand itself, at the place counted from that strand's start.
            whole, local = (text, place) if strand == "+" else (other, len(text) - 1 - place)
            assert window == whole[local - WINDOW // 2 : local + WINDOW // 2]


def test_every_dinucleotide_of_the_test_genes_is_a_candidate_once(splice, genome, material) -> None:
    for task, word in splice.DINUCLEOTIDES.items():
        expected = 0
        for gene in material.genes["test"]:
            span = genome[2][gene.start : gene.end]
            read = span if gene.strand == "+" else reverse_complement(span)
            expected += sum(read[i : i + 2] == word for i in range(len(read)))
        places = material.every[task].places
        assert len(places) == len(set(places)) == expected
    gene = material.genes["test"][0]
    twice = splice.candidates_of(genome[2], [gene, gene], "GT", set())
    once = splice.candidates_of(genome[2], [gene], "GT", set())
    assert twice.places == once.places


def test_no_base_of_a_window_lies_in_another_part(splice, material) -> None:
    half = WINDOW // 2
    for (part, task), rows in material.sample.items():
        low, high = PARTS[part]
        for strand, place in rows.places:
            first = place - half + (strand == "-")
            assert low <= first
            assert first + WINDOW <= high, (part, task)
    crossing = splice.Gene("x", "+", PARTS["valid"][0] - 100, PARTS["valid"][0] + 100)
    assert not any(splice.genes_of_part([crossing], bounds, WINDOW) for bounds in PARTS.values())


def test_decoys_are_no_sites_and_the_draw_depends_on_the_seed_alone(splice, genome, material) -> None:
    again = splice.prepare(*genome[:2], PARTS, window=WINDOW, decoys=2, seed=3)
    other = splice.prepare(*genome[:2], PARTS, window=WINDOW, decoys=2, seed=4)
    _, sites = splice.read_genes(genome[1], "c")
    for (part, task), rows in material.sample.items():
        assert rows.places == again.sample[part, task].places
        assert (~rows.truth).sum() == 2 * rows.truth.sum()
        assert [place in sites[task] for place in rows.places] == rows.truth.tolist()
    assert material.sample["train", "donor"].places != other.sample["train", "donor"].places


def test_short_introns_and_unspliced_exons_give_no_site(splice) -> None:
    assert splice.introns([(0, 10), (10, 20), (49, 60), (90, 95)]) == [(60, 90)]
    assert splice.introns([(100, 200)]) == []


def test_limits_draw_genes_and_a_wrong_contig_is_named(splice, genome, tmp_path) -> None:
    few = splice.prepare(*genome[:2], PARTS, window=WINDOW, decoys=1, seed=0, limit_genes=2, limit_train=3)
    assert {part: len(genes) for part, genes in few.genes.items()} == {"train": 3, "valid": 3, "test": 2}
    renamed = tmp_path / "other.fa"
    renamed.write_text(genome[0].read_text().replace(">c", ">chr9"))
    with pytest.raises(SystemExit, match="chr9"):
        splice.prepare(renamed, genome[1], PARTS, window=WINDOW, decoys=1, seed=0)


def test_the_table_of_windows_can_be_read_back(splice, material, tmp_path) -> None:
    path = tmp_path / "windows.csv"
    count = splice.write_windows(material, WINDOW, path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == sum(len(each.places) for each in material.sample.values())
    for row in rows:
        middle = row["sequence"][WINDOW // 2 : WINDOW // 2 + 2]
        assert middle == splice.DINUCLEOTIDES[row["label"]] if row["label"] != "none" else middle in ("GT", "AG")
    expected = Counter(
        (part, task if true else "none") for (part, task), each in material.sample.items() for true in each.truth
    )
    assert Counter((row["split"], row["label"]) for row in rows) == expected


def test_top_k_is_what_the_definition_says(splice) -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random(500) < 0.05, rng.permutation(500).astype(float)
    sites = set(np.flatnonzero(truth).tolist())
    for share in splice.SHARES:
        best = sorted(range(500), key=lambda row: -scores[row])[: int(share * len(sites))]
        expected = len(sites & set(best)) / min(len(best), len(sites))
        assert splice.top_share(truth, scores, share) == pytest.approx(expected, abs=1e-12)
    assert splice.top_share(truth, truth.astype(float), 1) == 1
    # Without any ranking, a random choice of k finds the share of sites.
    assert splice.top_share(truth, np.zeros(500), 1) == pytest.approx(truth.mean())


def test_a_perfect_and_a_blind_ranking_have_the_known_figures(splice, material) -> None:
    candidates = material.every["donor"]
    perfect = splice.figures_of(candidates.truth, candidates.truth + 0.0)
    assert (perfect["auprc"], perfect["auroc"], perfect["top_k"]["1"]) == (1, 1, 1)
    blind = splice.figures_of(candidates.truth, np.zeros(len(candidates.truth)))
    assert blind["auprc"] == pytest.approx(candidates.truth.mean())
    low, high = splice.interval(candidates, candidates.truth + 0.0, 0)["auprc_95"]
    assert (low, high) == (1, 1)


def test_windows_copied_from_the_training_part_are_told(splice, genome, tmp_path) -> None:
    fasta, gff, text = genome
    plain = splice.windows_seen(splice.prepare(fasta, gff, PARTS, window=40, decoys=1, seed=0), 40, PARTS)
    assert not any(seen.any() for seen in plain.values())  # random bases share no 24-mer
    copied = tmp_path / "copied.fa"
    test = PARTS["test"][0]
    # The gene layout repeats every 1,000 bases, so that the copy has its sites in place.
    copied.write_text(f">c\n{text[:test] + text[3000:6000] + text[test + 3000 :]}\n")
    material = splice.prepare(copied, gff, PARTS, window=40, decoys=1, seed=0)
    for task, seen in splice.windows_seen(material, 40, PARTS).items():
        place = np.array([position for _, position in material.every[task].places])
        assert seen[place < test + 2900].all()
        assert not seen[place > test + 3100].any()


def test_windows_and_labels_are_those_of_the_published_table(splice, real_data) -> None:
    """The labelled set was derived on its own: the same windows must come out, with the same labels."""
    folder = real_data / "genomics"
    from seqdna.data.fasta import read_fasta

    [(contig, raw)] = read_fasta(folder / f"{splice.NAME}.fasta.gz")
    text = raw.decode().upper()
    _, sites = splice.read_genes(folder / f"{splice.NAME}.gff3.gz", contig)
    compared = 0
    with gzip.open(folder / "arabidopsis_chr1_splice_400bp.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            # On "-" it counts one more: from the border between bases rather than from the base.
            place = row["strand"], int(row["pos0"]) - (row["strand"] == "-")
            if not 1000 < place[1] < 9_990_000:
                continue
            compared += 1
            assert splice.window_of(text, place, 400) == row["sequence"].upper()
            found = "donor" if place in sites["donor"] else "acceptor" if place in sites["acceptor"] else "none"
            assert found == row["site"]
    assert compared > 5000


# benchmarks/labelled.py


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data folder with one small set, without a split."""
    rng = np.random.default_rng(2)
    with gzip.open(tmp_path / "uci_splice_junctions_60bp.csv.gz", "wt") as file:
        file.write("label,sequence\n")
        for number in range(150):
            text = random_sequence(rng, 12)
            file.write(f"{('n', 'ei', 'ie')[number % 3]},{text}{('AA', 'GT', 'CC')[number % 3]}{text}\n")
    return tmp_path


def arguments_of(labelled, folder: Path, pretrained: Path, *more: str):
    words = ["--pretrained", str(pretrained), "--data", str(folder), "--work", str(folder / "work"), "--sets", "uci"]
    return labelled.parse([*words, "--seeds", "1", "--epochs", "1", "--cnn_epochs", "1", *more])


def test_the_drawn_split_is_80_10_10_stratified_and_another_for_each_seed(labelled, folder) -> None:
    source = folder / "uci_splice_junctions_60bp.csv.gz"
    texts = [labelled.with_split(source, seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    for text in texts:
        rows = list(csv.DictReader(text.splitlines()))
        counts = Counter((row["split"], row["label"]) for row in rows)
        for label in ("n", "ei", "ie"):
            assert [counts[split, label] for split in ("train", "valid", "test")] == [40, 5, 5]
        with gzip.open(source, "rt") as file:
            before = [(row["label"], row["sequence"]) for row in csv.DictReader(file)]
        assert [(row["label"], row["sequence"]) for row in rows] == before


def test_what_is_done_is_not_done_again_and_what_is_missing_is_told(labelled, folder, pretrained, monkeypatch) -> None:
    real, calls = labelled.measure_piece, []

    def stops_after_one(piece, *rest):
        if calls:
            raise labelled.OutOfTime
        calls.append(str(piece))
        return real(piece, *rest)

    monkeypatch.setattr(labelled, "measure_piece", stops_after_one)
    part = labelled.run(arguments_of(labelled, folder, pretrained))
    assert calls == ["uci/linear/seed_0"]
    assert not part["complete"]
    assert part["missing"] == [f"uci/{kind}/seed_0" for kind in ("cnn", "scratch", "pretrained")]
    assert json.loads((folder / "work" / "labelled.json").read_text())["missing"] == part["missing"]

    again: list[str] = []
    monkeypatch.setattr(labelled, "measure_piece", lambda piece, *rest: again.append(str(piece)) or real(piece, *rest))
    whole = labelled.run(arguments_of(labelled, folder, pretrained))
    assert whole["complete"]
    assert again == part["missing"]
    assert {name: whole["runs"][name] for name in calls} == part["runs"]
    accuracy = whole["summary"]["uci"]["accuracy"]
    # All models of a seed are measured on one split.
    assert {tuple(run["rows"]) for run in whole["runs"].values()} == {(120, 15, 15)}
    assert accuracy["gain"] == [accuracy["pretrained"][0] - accuracy["scratch"][0]]
    # The middle two bases tell the class, and a linear model must see it.
    assert max(accuracy["linear"][accuracy["best_linear"]]) > 0.9

    with pytest.raises(SystemExit, match="another epochs"):
        labelled.run(arguments_of(labelled, folder, pretrained, "--epochs", "2"))
    # Other weights change the pretrained model's figures and no others.
    other = folder / "other"
    shutil.copytree(pretrained, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: weight + 1 for name, weight in weights.items()}, other / "model.safetensors")
    with pytest.raises(SystemExit, match=r"uci.pretrained.seed_0.*another weights_sha256"):
        labelled.run(arguments_of(labelled, folder, other))


def test_the_summary_takes_means_over_splits_and_pairs_seeds(labelled) -> None:
    def done(kind: str, seed: int, value: float) -> tuple:
        figures = {"accuracy": value}
        found = {"models": {"a": figures, "b": {"accuracy": 0.75}}} if kind == "linear" else {"test": figures}
        return labelled.Piece("uci", kind, seed), found

    rows = [done("linear", 0, 0.5), done("linear", 1, 0.875), done("scratch", 0, 0.5), done("scratch", 2, 0.25)]
    rows += [done("pretrained", 2, 0.75), done("pretrained", 1, 1.0)]
    found = labelled.summarize("uci", dict(rows), "accuracy")
    assert (found["best_linear"], found["linear"]) == ("b", {"a": [0.5, 0.875], "b": [0.75, 0.75]})
    assert (found["cnn"], found["gain"]) == ([], [0.5])  # seed 2 alone has both
    assert labelled.spread([0.5, 1.0]) == "0.750 (0.500..1.000)"


def test_unknown_sets_and_folders_without_a_model_are_named(labelled, folder, pretrained) -> None:
    with pytest.raises(SystemExit, match="choose from splice, promoter, uci"):
        labelled.run(arguments_of(labelled, folder, pretrained, "--sets", "uic"))
    with pytest.raises(SystemExit, match="holds no model"):
        labelled.run(arguments_of(labelled, folder, folder))
