"""Splice sites at natural imbalance: every GT and every AG of held-out genes, ranked by a fine-tuned model.

    python benchmarks/splice_genes.py --pretrained runs/arabidopsis
    python benchmarks/splice_genes.py --pretrained runs/arabidopsis --from_scratch --work runs/splice_scratch

Coding genes are divided by place (train, validation, test; a gene whose windows would cross a border is left out).
A site is the GT that opens or the AG that closes an intron of any coding transcript. The model learns three
classes (donor, acceptor, neither) from all sites of the training genes and --decoys random GT or AG of the same
genes for each site; windows are centred on the dinucleotide, on the transcribed strand. It then scores every GT
(donor task) and every AG (acceptor task) of the test genes. Beside it: logistic regression on the one-hot bases
of the same windows, a model for each task.

AUPRC is scikit-learn's average precision, its chance level the share of sites; intervals resample genes. Top-k as
in SpliceAI (Jaganathan et al., Cell 2019): of the s k candidates with the highest scores, k the number of sites,
the true ones over min(s k, k), for s = 0.5, 1, 2, 4. Candidates are GT and AG alone, there every base. Figures also
without the windows that share a 24-mer, on either strand, with the training part. Training goes on where --minutes
or Ctrl-C ended it.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _machine import write_result
from labelled import data_folder, pretraining_of

NAME = "arabidopsis_TAIR10_chr1_1-10Mb"
PARTS = {"train": (0, 8_500_000), "valid": (8_500_000, 9_000_000), "test": (9_000_000, 10_000_000)}
DINUCLEOTIDES = {"donor": "GT", "acceptor": "AG"}
SHARES = (0.5, 1, 2, 4)
CHUNK = 4096
SHORTEST = 30
COMPLEMENT = str.maketrans("ACGT", "TGCA")

Place = tuple[str, int]
"""Strand, and the 0-based position of a dinucleotide's first base in reading direction."""


@dataclass(frozen=True)
class Gene:
    """A coding gene on the bases `start` .. `end` - 1."""

    name: str
    strand: str
    start: int
    end: int


@dataclass(frozen=True)
class Candidates:
    """Dinucleotides of genes: one row each.

    Attributes:
        places: Strand and position.
        gene: (n,) number of the gene.
        truth: (n,) whether each is a site.
    """

    places: list[Place]
    gene: np.ndarray
    truth: np.ndarray

    def take(self, rows: np.ndarray) -> Candidates:
        return Candidates([self.places[row] for row in rows], self.gene[rows], self.truth[rows])


# Genes and windows


def introns(exons: Sequence[tuple[int, int]], shortest: int = SHORTEST) -> list[tuple[int, int]]:
    """Return the introns between exons as spans of the forward strand; those below `shortest` bases are left out."""
    ordered = sorted(exons)
    spans = [(end, start) for (_, end), (start, _) in pairwise(ordered)]
    return [(start, end) for start, end in spans if end - start >= shortest]


def site_places(transcripts: Iterable[Any], shortest: int = SHORTEST) -> dict[str, set[Place]]:
    """Return the places of the first two and of the last two bases of all introns."""
    places: dict[str, set[Place]] = {"donor": set(), "acceptor": set()}
    for transcript in transcripts:
        for start, end in introns(transcript.exons, shortest):
            forward = transcript.strand == "+"
            places["donor"].add((transcript.strand, start if forward else end - 1))
            places["acceptor"].add((transcript.strand, end - 2 if forward else start + 1))
    return places


def read_genes(gff: Path, contig: str) -> tuple[list[Gene], dict[str, set[Place]]]:
    """Return the coding genes of a contig, by place, and all its annotated splice sites.

    Raises:
        SystemExit: No coding gene lies on it.
    """
    from seqdna.variants.annotation import coding_transcripts, read_gff

    features = [feature for feature in read_gff(gff) if feature.contig == contig]
    spans = {f.attributes.get("ID", ""): f for f in features if f.kind == "gene" and f.strand in ("+", "-")}
    if not any(feature.kind == "CDS" for feature in features):
        raise SystemExit(f"{gff}: no coding gene on {contig}, the record of the FASTA; compare their names.")
    transcripts = coding_transcripts(features, longest=False)
    coding = {transcript.gene for transcript in transcripts}
    genes = [Gene(name, f.strand, f.start, f.end) for name, f in spans.items() if name in coding]
    return sorted(genes, key=lambda gene: (gene.start, gene.end)), site_places(transcripts)


def genes_of_part(genes: Sequence[Gene], bounds: tuple[int, int], window: int) -> list[Gene]:
    """Return the genes whose windows lie within bounds."""
    low, high = bounds
    return [gene for gene in genes if gene.start - window // 2 >= low and gene.end + window // 2 <= high]


def window_of(text: str, place: Place, window: int) -> str:
    """Return the window on the transcribed strand with the dinucleotide at window / 2 and the base behind."""
    strand, position = place
    half = window // 2
    if strand == "+":
        return text[position - half : position + half]
    return text[position - half + 1 : position + half + 1].translate(COMPLEMENT)[::-1]


def candidates_of(text: str, genes: Sequence[Gene], dinucleotide: str, sites: set[Place]) -> Candidates:
    """Return every dinucleotide on the transcribed strand of genes, once where genes overlap."""
    found: dict[Place, int] = {}
    for number, gene in enumerate(genes):
        forward = gene.strand == "+"
        word = dinucleotide if forward else dinucleotide.translate(COMPLEMENT)[::-1]
        place = text.find(word, gene.start, gene.end)
        while place >= 0:
            found.setdefault((gene.strand, place if forward else place + 1), number)
            place = text.find(word, place + 1, gene.end)
    truth = np.array([place in sites for place in found], dtype=bool)
    return Candidates(list(found), np.array(list(found.values()), dtype=np.int64), truth)


def sampled(candidates: Candidates, decoys: int, draws: np.random.Generator) -> Candidates:
    """Return all sites, and so many random candidates that are none for each of them."""
    sites, others = np.flatnonzero(candidates.truth), np.flatnonzero(~candidates.truth)
    drawn = draws.permutation(others)[: decoys * len(sites)]
    return candidates.take(np.sort(np.concatenate((sites, drawn))))


@dataclass(frozen=True)
class Material:
    """What the models learn from and are measured on.

    Attributes:
        text: The record's bases, upper case.
        genes: Part -> genes.
        sample: (part, task) -> all sites and some decoys.
        every: Task -> all candidates of the test genes.
        annotated: Task -> annotated sites in the test genes, whatever their bases.
    """

    text: str
    contig: str
    genes: dict[str, list[Gene]]
    sample: dict[tuple[str, str], Candidates]
    every: dict[str, Candidates]
    annotated: dict[str, int]


def divide(
    genes: Sequence[Gene], parts: dict[str, tuple[int, int]], window: int, limits: dict[str, int], seed: int
) -> dict[str, list[Gene]]:
    """Return the genes of each part, at most so many (0: all) drawn at random.

    Raises:
        SystemExit: A part has none.
    """
    divided = {}
    for number, (part, bounds) in enumerate(parts.items()):
        mine = genes_of_part(genes, bounds, window)
        if not mine:
            raise SystemExit(f"no coding gene lies in the {part} part, {bounds[0]:,}-{bounds[1]:,}.")
        if limits[part]:
            chosen = np.random.default_rng([seed, 0, number]).permutation(len(mine))[: limits[part]]
            mine = [mine[row] for row in np.sort(chosen)]
        divided[part] = mine
    return divided


def prepare(
    fasta: Path,
    gff: Path,
    parts: dict[str, tuple[int, int]],
    *,
    window: int,
    decoys: int,
    seed: int,
    limit_genes: int = 0,
    limit_train: int = 0,
) -> Material:
    """Read genome and genes and choose the windows.

    Args:
        fasta: One record.
        gff: Its genes.
        parts: Part -> first base and end.
        window: Bases of a window, even.
        decoys: Random others for each site, in the samples.
        seed: Of the draws.
        limit_genes: Test genes at most, drawn at random; 0 for all.
        limit_train: Training and validation genes at most, each.
    """
    from seqdna.data.fasta import read_fasta

    (contig, raw), *more = read_fasta(fasta)
    if more:
        raise SystemExit(f"{fasta}: has {1 + len(more)} records; give a file of one.")
    text = raw.decode("ascii").upper()
    genes, sites = read_genes(gff, contig)
    inside = {part: (low, min(high, len(text))) for part, (low, high) in parts.items()}
    limits = dict.fromkeys(parts, limit_train) | {"test": limit_genes}
    divided = divide(genes, inside, window, limits, seed)
    sample, every, annotated = {}, {}, {}
    for number, (task, word) in enumerate(DINUCLEOTIDES.items()):
        for place, part in enumerate(divided):
            found = candidates_of(text, divided[part], word, sites[task])
            if not found.truth.any():
                raise SystemExit(f"{gff}: the {part} genes have no {task} site; give more genes.")
            sample[part, task] = sampled(found, decoys, np.random.default_rng([seed, 1, number, place]))
            if part == "test":
                every[task] = found
        spans = [(gene.strand, gene.start, gene.end) for gene in divided["test"]]
        annotated[task] = sum(any(s == t and a <= p < b for t, a, b in spans) for s, p in sites[task])
    return Material(text, contig, divided, sample, every, annotated)


def write_windows(material: Material, window: int, path: Path) -> int:
    """Write the samples as a labelled table; return its rows. The test rows are a sample too, for a quick look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("split", "label", "sequence"))
        for (part, task), rows in material.sample.items():
            for place, true in zip(rows.places, rows.truth, strict=True):
                writer.writerow((part, task if true else "none", window_of(material.text, place, window)))
                count += 1
    return count


# Models


def fine_tune(table: Path, arguments: argparse.Namespace) -> Any:
    """Fine-tune on the three classes; the weights with the best validation AUPRC are kept.

    Raises:
        SystemExit: --minutes are over.
    """
    from seqdna.configs.finetune import FinetuneConfig
    from seqdna.finetuning import finetune
    from seqsuite.training import RunFolder

    out = arguments.work / "model"
    result = finetune(
        FinetuneConfig(
            str(table),
            model=arguments.pretrained,
            from_scratch=arguments.from_scratch,
            pooling="centre",
            batch_size=arguments.batch_size,
            epochs=arguments.epochs,
            lr=arguments.lr,
            metric="auprc",
            seed=arguments.seed,
            baselines=False,
            threads=1,
            checkpoint_every=200,
            max_minutes=arguments.minutes,
            resume=RunFolder(out).holds_run,
            out=str(out),
        )
    )
    if result is None:
        raise SystemExit("the time is over; call again to go on with the training")
    return result


def model_scores(material: Material, window: int, run: Path) -> dict[str, np.ndarray]:
    """Return the log-odds of donor or acceptor for every candidate, task by task."""
    import torch

    import seqdna
    from seqdna.finetuning.head import load_head
    from seqdna.finetuning.predict import outputs_of

    model = seqdna.load(run, device="cuda" if torch.cuda.is_available() else "cpu")
    head = load_head(run)
    result = {}
    for task, candidates in material.every.items():
        own, scores, began = head.classes.index(task), [], time.monotonic()
        for first in range(0, len(candidates.places), CHUNK):
            texts = [window_of(material.text, place, window) for place in candidates.places[first : first + CHUNK]]
            outputs = outputs_of(model.model, model.tokenizer, texts, head).astype(np.float64)
            scores.append(outputs[:, own] - np.logaddexp.reduce(np.delete(outputs, own, axis=1), axis=1))
            done = first + len(texts)
            rate = done / (time.monotonic() - began)
            print(f"{task}: {done:,} of {len(candidates.places):,} windows, {rate:,.0f}/s", file=sys.stderr, flush=True)
        result[task] = np.concatenate(scores)
    return result


def linear_scores(material: Material, window: int) -> dict[str, np.ndarray]:
    """Fit logistic regression on one-hot bases, a model a task, and return its log-odds for every candidate."""
    from seqdna.finetuning.baselines import one_hot
    from seqdna.finetuning.probe import fit_linear

    result = {}
    for task, candidates in material.every.items():
        parts = []
        for part in ("train", "valid"):
            rows = material.sample[part, task]
            inputs = one_hot([window_of(material.text, place, window) for place in rows.places])
            parts.append((inputs, rows.truth.astype(np.int64)))
        model = fit_linear("classification", parts[0], parts[1], metric="auprc", outputs=2, standardise=False)
        scores = []
        for first in range(0, len(candidates.places), CHUNK):
            places = candidates.places[first : first + CHUNK]
            outputs = model.outputs(one_hot([window_of(material.text, place, window) for place in places]))
            scores.append(outputs[:, 1] - outputs[:, 0])
        result[task] = np.concatenate(scores).astype(np.float64)
    return result


# Figures


def top_share(truth: np.ndarray, scores: np.ndarray, share: float) -> float:
    """Return SpliceAI's top-k accuracy for the `share` x k best candidates; equal scores count by their mean."""
    sites = int(truth.sum())
    taken = int(share * sites)
    if not taken:
        return float("nan")
    taken = min(taken, len(truth))
    last = np.sort(scores)[-taken]
    above, level = scores > last, scores == last
    right = truth[above].sum() + (taken - above.sum()) * truth[level].mean()
    return float(right / min(taken, sites))


def figures_of(truth: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return AUPRC, AUROC and top-k accuracies of one ranking."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auprc": float(average_precision_score(truth, scores)),
        "auroc": float(roc_auc_score(truth, scores)),
        "top_k": {str(share): top_share(truth, scores, share) for share in SHARES},
    }


def interval(candidates: Candidates, scores: np.ndarray, seed: int, times: int = 200) -> dict[str, list[float]]:
    """Return 95 % intervals of AUPRC and top-k accuracy over resampled genes."""
    from sklearn.metrics import average_precision_score

    draws = np.random.default_rng(seed)
    order = np.argsort(candidates.gene, kind="stable")
    names, starts = np.unique(candidates.gene[order], return_index=True)
    rows = np.split(order, starts[1:])
    found: list[tuple[float, float]] = []
    for _ in range(times):
        picked = np.concatenate([rows[k] for k in draws.integers(0, len(names), len(names))])
        truth, mine = candidates.truth[picked], scores[picked]
        if truth.any() and not truth.all():
            found.append((float(average_precision_score(truth, mine)), top_share(truth, mine, 1)))
    if not found:
        return {}
    low, high = np.nanpercentile(np.array(found), [2.5, 97.5], axis=0)
    return {"auprc_95": [float(low[0]), float(high[0])], "top_k_95": [float(low[1]), float(high[1])]}


def windows_seen(material: Material, window: int, parts: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """Tell for every candidate whether its window shares a 24-mer, on either strand, with the training part."""
    from seqdna.data import Genome
    from seqdna.data.homology import shared_kmers
    from seqdna.data.intervals import Interval

    genome = Genome.from_sequences({material.contig: material.text})
    held = Interval(material.contig, parts["test"][0], min(parts["test"][1], len(material.text)))
    shared = shared_kmers(genome, [Interval(material.contig, *parts["train"])], [held])
    half = window // 2
    result = {}
    for task, candidates in material.every.items():
        starts = [position - half + (strand == "-") for strand, position in candidates.places]
        first = np.array([genome.coordinate(material.contig, start) for start in starts], dtype=np.int64)
        result[task] = shared.in_windows(first, window)
    return result


def report(
    material: Material, scores: dict[str, dict[str, np.ndarray]], seen: dict[str, np.ndarray], seed: int
) -> dict[str, Any]:
    """Return the figures of all models: task -> counts and model -> figures."""
    result: dict[str, Any] = {}
    for task, candidates in material.every.items():
        truth, new = candidates.truth, ~seen[task]
        bases = sum(gene.end - gene.start for gene in material.genes["test"])
        result[task] = {
            "candidates": len(truth),
            "sites": int(truth.sum()),
            "annotated_sites": material.annotated[task],
            "prevalence": float(truth.mean()),
            "candidates_per_kb": 1000 * len(truth) / bases,
            "share_of_windows_with_a_training_24mer": float(seen[task].mean()),
            "prevalence_without_them": float(truth[new].mean()) if new.any() else None,
        }
        for model, by_task in scores.items():
            values = by_task[task]
            figures = {**figures_of(truth, values), **interval(candidates, values, seed)}
            if truth[new].any():
                figures["without_training_24mers"] = figures_of(truth[new], values[new])
            result[task][model] = figures
    return result


def show(result: dict[str, Any], models: Sequence[str]) -> None:
    """Print a row for each task and model."""
    from seqsuite.cli.output import print_table

    rows = []
    for task, found in result.items():
        for model in models:
            one = found[model]
            low, high = one.get("auprc_95", (float("nan"),) * 2)
            tops = [f"{one['top_k'][str(share)]:.3f}" for share in SHARES]
            rows.append((task, model, f"{one['auprc']:.3f} ({low:.3f}..{high:.3f})", *tops, f"{one['auroc']:.4f}"))
        chance = f"{found['prevalence']:.4f}"
        rows.append((task, f"chance: {found['sites']:,} of {found['candidates']:,}", chance, *[""] * len(SHARES), ""))
    heads = ("task", "model", "AUPRC (95 %)", *(f"top {share}k" for share in SHARES), "AUROC")
    print_table(heads, rows, title="every GT and AG of the test genes")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", required=True, help="run folder of `seqdna pretrain`")
    parser.add_argument("--from_scratch", action="store_true", help="its architecture with fresh weights")
    parser.add_argument("--data", help="folder of the data files (default: genomics in SEQSUITE_DATA)")
    parser.add_argument("--work", type=Path, default=Path("runs/splice_genes"), help="default: %(default)s")
    parser.add_argument("--window", type=int, default=200, help="bases of a window, even (default: %(default)s)")
    parser.add_argument("--decoys", type=int, default=3, help="for each site (default: %(default)s)")
    parser.add_argument("--epochs", type=float, default=3.0, help="default: %(default)s")
    parser.add_argument("--batch_size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=2e-3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit_genes", type=int, default=0, help="test genes at most, drawn at random")
    parser.add_argument("--limit_train", type=int, default=0, help="training and validation genes at most")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop training after so many, to be called again")
    parser.add_argument("--prepare_only", action="store_true", help="count the windows and stop")
    arguments = parser.parse_args(words)
    if arguments.window < 2 or arguments.window % 2:
        parser.error("--window must be even.")
    if arguments.decoys < 1:
        parser.error("--decoys must be at least 1.")
    return arguments


def counts_of(material: Material) -> dict[str, Any]:
    """Return how many genes and windows there are."""
    rows = {f"{part} {task}": (int(s.truth.sum()), len(s.places)) for (part, task), s in material.sample.items()}
    return {
        "genes": {part: len(genes) for part, genes in material.genes.items()},
        "sampled_sites_and_windows": rows,
        "windows_to_train_on": sum(n for name, (_, n) in rows.items() if name.startswith("train")),
        "windows_to_score": sum(len(c.places) for c in material.every.values()),
    }


def run(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Do everything and return what the JSON file holds; nothing with --prepare_only."""
    began = time.monotonic()
    data = data_folder(arguments.data)
    material = prepare(
        data / f"{NAME}.fasta.gz", data / f"{NAME}.gff3.gz", PARTS, window=arguments.window, decoys=arguments.decoys,
        seed=arguments.seed, limit_genes=arguments.limit_genes, limit_train=arguments.limit_train,
    )  # fmt: skip
    counts = counts_of(material)
    print(counts, file=sys.stderr, flush=True)
    if arguments.prepare_only:
        return None
    table = arguments.work / "windows.csv"
    write_windows(material, arguments.window, table)
    tuned = fine_tune(table, arguments)
    name = "from scratch" if arguments.from_scratch else "pretrained"
    scores = {
        name: model_scores(material, arguments.window, arguments.work / "model"),
        "one-hot bases, linear": linear_scores(material, arguments.window),
    }
    tasks = report(material, scores, windows_seen(material, arguments.window, PARTS), arguments.seed)
    show(tasks, list(scores))
    options = {key: value for key, value in vars(arguments).items() if key not in ("pretrained", "data", "work")}
    sample = {"test": tuned.runs[0].test, "valid": tuned.runs[0].valid, "steps": tuned.runs[0].steps}
    return {
        "options": options, "parts": PARTS, "pretraining": pretraining_of(arguments.pretrained), "counts": counts,
        "sampled_windows": sample, "tasks": tasks, "wall_seconds": time.monotonic() - began,
    }  # fmt: skip


def main() -> None:
    from seqsuite.errors import UserError

    arguments = parse()
    try:
        result = run(arguments)
    except UserError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; call again to go on with the training") from None
    if result is not None:
        print(write_result("splice_genes_scratch" if arguments.from_scratch else "splice_genes", result))


if __name__ == "__main__":
    main()
