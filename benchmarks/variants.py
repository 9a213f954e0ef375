"""Do scores of variants mean something? Three questions, one JSON file each under results/.

    python benchmarks/variants.py matched RUN genome.fa calls.vcf.gz --held_out 2257089-2821361
    python benchmarks/variants.py planted --minutes 5
    python benchmarks/variants.py constraint RUN genome.fa genes.gff3.gz --figure constraint.svg

matched     Variants seen between two strains against random ones of the same type and context (a change of one base:
            the base, its neighbours and the new base; others: lengths, new bases and neighbours), each against its own
            `--per` random ones. AUROC: how often the variant that nature kept scores higher. The interval resamples
            variants with their random partners. `--held_out` limits both to the part the model was not trained on.
planted     A made-up genome in which motifs are kept and the rest is random: a leave-one-out model is trained on
            nine tenths of it for some minutes and scores variants of the last tenth, in motifs and outside.
constraint  Every single-nucleotide variant of a genome by what it does to a codon, by place in the codon, and along
            start codons and splice sites.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _machine import write_result

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Return how often a value of `higher` is above one of `lower`, ties for half."""
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([1, 0], [len(higher), len(lower)])
    return float(roc_auc_score(truth, np.concatenate((higher, lower))))


# matched


def matched(arguments: argparse.Namespace) -> dict[str, Any]:
    import seqdna
    from seqdna.data import Genome, read_fasta
    from seqdna.variants import score_variants, training_length

    records = {name: text.decode().upper() for name, text in read_fasta(arguments.fasta)}
    model = seqdna.load(arguments.model)
    genome = Genome.from_sequences(records, model.tokenizer)
    window = arguments.window or training_length(arguments.model)
    real = score_variants(model, arguments.vcf, genome, window=window)
    draws = np.random.default_rng(arguments.seed)
    spans = {"all": None} | ({"held_out": arguments.held_out} if arguments.held_out else {})
    result: dict[str, Any] = {"window": window, "per": arguments.per, "report": real.report.to_dict()}
    for name, span in spans.items():
        kept = [row for row in real.rows if row.scored and (span is None or span[0] <= row.record.pos - 1 < span[1])]
        partners = [partners_of(records[row.record.chrom], row, arguments.per, span, draws) for row in kept]
        pairs = [(row, rows) for row, rows in zip(kept, partners, strict=True) if rows]
        if not pairs:
            raise SystemExit(f"{name}: none of the variants can be scored and matched.")
        scores = score_partners(model, genome, window, [rows for _, rows in pairs])
        groups = [
            (row.kind, float(row.scores[0].mean()), values) for (row, _), values in zip(pairs, scores, strict=True)
        ]
        result[name] = {"span": span, "without_partner": len(kept) - len(pairs), **compare(groups, arguments.seed)}
    return result


def partners_of(
    text: str, row: Any, count: int, span: tuple[int, int] | None, draws: np.random.Generator
) -> list[tuple]:
    """Return up to `count` random variants (contig, pos, ref, alt) like one of a VCF, at places with its context."""
    ref, alt, start = row.record.ref.upper(), row.alt.upper(), row.record.pos - 1
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    before, behind = text[start - 1 : start], text[start + len(ref) : start + len(ref) + 1]
    low, high = span or (0, len(text))
    found: list[tuple] = []
    tried = 0
    while len(found) < count and tried < 400 * count + 10_000:
        for place in draws.integers(max(low, 1), high - len(ref) - 1, 1024).tolist():
            tried += 1
            there = text[place : place + len(ref)]
            same = text[place - 1] == before and text[place + len(ref)] == behind and place != start
            # The first base of an insertion or deletion is its anchor; a change of one base keeps the base itself.
            if same and there[0] == ref[0] and set(there) <= set("ACGT") and there != alt:
                found.append((row.record.chrom, place + 1, there, alt))
                if len(found) == count:
                    break
    return found


def score_partners(model: Any, genome: Any, window: int | None, groups: list[list[tuple]]) -> list[np.ndarray]:
    """Score random variants through the same door as the real ones: a VCF."""
    from seqdna.variants import score_variants

    lines = [f"{c}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t." for group in groups for c, pos, ref, alt in group]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.vcf"
        header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
        scores = score_variants(model, path, genome, window=window, unsorted=True).scores
    edges = np.cumsum([len(group) for group in groups])[:-1]
    return [part[~np.isnan(part)] for part in np.split(scores, edges)]


def compare(groups: list[tuple[str, float, np.ndarray]], seed: int) -> dict[str, Any]:
    """Return pooled AUROC, and its mean within matches, with bootstrap intervals over the matches."""
    draws = np.random.default_rng(seed)
    own = np.array([score for _, score, _ in groups])
    others = [values for *_, values in groups]
    within = np.array(
        [np.mean((values < mine) + 0.5 * (values == mine)) for mine, values in zip(own, others, strict=True)]
    )
    samples = draws.integers(0, len(groups), (1000, len(groups)))
    pooled = [auroc(own[s], np.concatenate([others[i] for i in s])) for s in samples]
    kinds = sorted({kind for kind, *_ in groups})
    of = {kind: within[[k == kind for k, *_ in groups]] for kind in kinds}
    return {
        "variants": len(groups),
        "random": int(sum(map(len, others))),
        "auroc": auroc(own, np.concatenate(others)),
        "auroc_95": np.percentile(pooled, [2.5, 97.5]).tolist(),
        "auroc_within_matches": float(within.mean()),
        "auroc_within_matches_95": np.percentile(within[samples].mean(1), [2.5, 97.5]).tolist(),
        "within_by_type": {
            kind: {"variants": len(values), "auroc": float(values.mean())} for kind, values in of.items()
        },
    }


# planted


def planted(arguments: argparse.Namespace) -> dict[str, Any]:
    import seqdna
    from seqdna.configs import PretrainConfig
    from seqdna.data import Genome
    from seqdna.pretraining import pretrain
    from seqdna.variants import score_variants

    draws = np.random.default_rng(arguments.seed)
    text, inside = planted_genome(draws, arguments.bases, arguments.motifs)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        fasta, run = Path(scratch) / "planted.fa", Path(scratch) / "run"
        fasta.write_text(f">planted\n{text}\n", encoding="utf-8")
        # lr as for other small models; the schedule ends when the steps do, so minutes only cut a slow machine short.
        options = PretrainConfig(
            fasta=str(fasta), model=arguments.model, length=128, batch_size=16, steps=arguments.steps, lr=5e-3,
            max_minutes=arguments.minutes, eval_sites=512, baselines=False, seed=arguments.seed, out=str(run),
        )  # fmt: skip
        trained = pretrain(options)
        if trained is None:
            raise SystemExit(f"{arguments.minutes} minutes were too few for {arguments.steps} steps; lower --steps.")
        seconds = time.monotonic() - began
        rows, breaks = planted_variants(draws, text, inside, arguments.variants)
        vcf = Path(scratch) / "v.vcf"
        vcf.write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows))
        model = seqdna.load(run)
        scores = score_variants(model, vcf, Genome.from_sequences({"planted": text}), window=128).scores
    breaking, neutral = scores[breaks], scores[~breaks]
    samples = [auroc(draws.choice(neutral, len(neutral)), draws.choice(breaking, len(breaking))) for _ in range(1000)]
    return {
        "bases": len(text),
        "share_in_motifs": float(inside.mean()),
        "steps": arguments.steps,
        "seconds": seconds,
        "bits_per_base": trained.bits_per_base,
        "breaking": len(breaking),
        "neutral": len(neutral),
        "auroc": auroc(neutral, breaking),
        "auroc_95": np.percentile(samples, [2.5, 97.5]).tolist(),
    }


def planted_genome(draws: np.random.Generator, bases: int, motifs: int) -> tuple[str, np.ndarray]:
    """Return a genome and whether each base lies in a motif: random letters, and intact motifs on both strands."""
    words = ["".join(draws.choice(list("ACGT"), 12)) for _ in range(motifs)]
    pieces: list[str] = []
    marks: list[np.ndarray] = []
    length = 0
    while length < bases:
        gap = int(draws.integers(10, 50))
        word = words[int(draws.integers(motifs))]
        word = word if draws.integers(2) else word.translate(COMPLEMENT)[::-1]
        pieces += ["".join(draws.choice(list("ACGT"), gap)), word]
        marks += [np.zeros(gap, dtype=bool), np.ones(len(word), dtype=bool)]
        length += gap + len(word)
    return "".join(pieces)[:bases], np.concatenate(marks)[:bases]


def planted_variants(
    draws: np.random.Generator, text: str, inside: np.ndarray, count: int
) -> tuple[list[str], np.ndarray]:
    """Return VCF lines of changes in the last tenth, half in motifs, and which those are."""
    first = len(text) - len(text) // 10
    places = np.concatenate(
        [first + draws.choice(np.flatnonzero(inside[first:] == wanted), count // 2, replace=False) for wanted in (1, 0)]
    )
    places.sort()
    rows = []
    for place in places.tolist():
        alt = draws.choice([base for base in "ACGT" if base != text[place]])
        rows.append(f"planted\t{place + 1}\t.\t{text[place]}\t{alt}\t.\t.\t.\n")
    return rows, inside[places]


# constraint


def constraint(arguments: argparse.Namespace) -> dict[str, Any]:
    import seqdna
    from seqdna.data import open_genome
    from seqdna.variants import all_snvs, training_length
    from seqdna.variants.annotation import coding_transcripts

    model = seqdna.load(arguments.model)
    window = arguments.window or training_length(arguments.model)
    transcripts = coding_transcripts(arguments.gff)[: arguments.genes]
    with tempfile.TemporaryDirectory() as scratch:
        table = all_snvs(model, arguments.fasta, Path(scratch) / "t.npy", window=window, force=arguments.force)
        assert table is not None
        scores = {name: table.of(name, 0, length) for name, length in table.records}
    genome = open_genome(arguments.fasta)
    known = [transcript for transcript in transcripts if transcript.contig in scores]
    if not known:
        raise SystemExit("no gene of the GFF lies on a record of the FASTA; compare their names.")
    result: dict[str, Any] = {"window": window, "genes": len(known), **by_codon(known, genome, scores)}
    sites = {
        "start_codon": [(t.contig, t.strand, t.start_codon) for t in known],
        "donor": [(t.contig, t.strand, place) for t in known for place in t.splice_sites()[0]],
        "acceptor": [(t.contig, t.strand, place) for t in known for place in t.splice_sites()[1]],
    }
    result["profiles"] = {name: profile(places, scores, arguments.flank) for name, places in sites.items()}
    if arguments.figure:
        draw(result, arguments.figure)
    return result


def by_codon(transcripts: list[Any], genome: Any, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return mean scores by place in the codon, by consequence, by both, and AUROCs between consequences."""
    from seqdna.variants.annotation import CONSEQUENCES, consequences

    values, effects = [], []
    for transcript in transcripts:
        positions, codes = transcript.codons(genome)
        here = scores[transcript.contig][positions]  # (n, 3, 4) over A, C, G, T of the given strand
        values.append(here if transcript.strand == "+" else here[..., ::-1])
        effects.append(consequences(codes))
    value, effect = np.concatenate(values), np.concatenate(effects)
    wanted = ("synonymous", "missense", "stop_gained", "stop_lost")
    masks = {name: (effect == CONSEQUENCES.index(name)) & ~np.isnan(value) for name in wanted}
    changed = np.logical_or.reduce(list(masks.values()))
    place = np.arange(3)[:, None]
    result: dict[str, Any] = {
        "by_codon_position": {str(i + 1): moments(value[changed & (place == i)]) for i in range(3)},
        "by_consequence": {name: moments(value[mask]) for name, mask in masks.items()},
        "by_consequence_and_position": {
            f"{name} {i + 1}": moments(value[mask & (place == i)]) for name, mask in masks.items() for i in range(3)
        },
    }
    kept = value[masks["synonymous"]]
    result["auroc_synonymous_above"] = {
        name: auroc(kept, value[masks[name]]) for name in ("missense", "stop_gained") if masks[name].any() and len(kept)
    }
    return result


def moments(values: np.ndarray) -> dict[str, float | int | None]:
    """Return count, mean and standard error."""
    count = len(values)
    mean = float(values.mean()) if count else None
    return {"n": count, "mean": mean, "standard_error": float(values.std() / count**0.5) if count else None}


def profile(
    sites: list[tuple[str, str, int]], scores: dict[str, np.ndarray], flank: int
) -> dict[str, list[float] | list[int] | int]:
    """Return the mean over three changes at each distance from sites, in reading direction."""
    rows = []
    for contig, strand, place in sorted(set(sites)):
        if flank <= place < len(scores[contig]) - flank:
            around = scores[contig][place - flank : place + flank + 1]
            row = np.nansum(around, axis=1) / 3
            row[np.isnan(around).all(axis=1)] = np.nan
            rows.append(row if strand == "+" else row[::-1])
    if not rows:
        return {"sites": 0, "distance": [], "mean": [], "standard_error": []}
    stacked = np.stack(rows)
    count = (~np.isnan(stacked)).sum(0).clip(1)
    return {
        "sites": len(rows),
        "distance": list(range(-flank, flank + 1)),
        "mean": np.nanmean(stacked, axis=0).tolist(),
        "standard_error": (np.nanstd(stacked, axis=0) / np.sqrt(count)).tolist(),
    }


def draw(result: dict[str, Any], path: str) -> None:
    """Draw consequences and profiles into one figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    axes = figure.subplots(1, 4)
    for ax, key in ((axes[0], "by_consequence"),):
        items = {**result["by_codon_position"], **result[key]}
        items = {name: item for name, item in items.items() if item["n"]}
        ax.bar(
            list(items), [item["mean"] for item in items.values()], yerr=[i["standard_error"] for i in items.values()]
        )
        ax.tick_params(axis="x", rotation=60)
        ax.set(ylabel="mean score (nats)", title="codon position, consequence")
    for ax, (name, curve) in zip(axes[1:], result["profiles"].items(), strict=True):
        ax.plot(curve["distance"], curve["mean"], lw=1)
        ax.axvline(0, color="#808080", lw=0.8)
        ax.set(title=f"{name.replace('_', ' ')} ({curve['sites']})", xlabel="bases, reading direction")
    figure.savefig(path)


def span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("matched", help="variants between strains against random ones")
    for name in ("model", "fasta", "vcf"):
        one.add_argument(name)
    one.add_argument("--held_out", type=span, help="0-based first-end of the bases the model was not trained on")
    one.add_argument("--per", type=int, default=100, help="random variants for each real one")
    two = kinds.add_parser("planted", help="motif-breaking variants of a made-up genome")
    two.add_argument("--model", default="leave_one_out_debug")
    two.add_argument("--bases", type=int, default=400_000)
    two.add_argument("--motifs", type=int, default=6)
    two.add_argument("--steps", type=int, default=2000)
    two.add_argument("--minutes", type=float, default=30)
    two.add_argument("--variants", type=int, default=2000)
    three = kinds.add_parser("constraint", help="scores by codon and around signals")
    for name in ("model", "fasta", "gff"):
        three.add_argument(name)
    three.add_argument("--genes", type=int, help="only the first so many genes")
    three.add_argument("--flank", type=int, default=30)
    three.add_argument("--figure", help="where to draw it")
    three.add_argument("--force", action="store_true", help="a masked model on a long genome")
    for each in (one, two, three):
        each.add_argument("--seed", type=int, default=0)
        each.add_argument("--tag", default="", help="goes into the result's name, such as the species")
    for each in (one, three):
        each.add_argument("--window", type=int, help="default: the run's training length")
    arguments = parser.parse_args()
    began = time.monotonic()
    result = {"matched": matched, "planted": planted, "constraint": constraint}[arguments.kind](arguments)
    options = {key: Path(value).name if key in ("model", "fasta", "vcf", "gff", "figure") and value else value
               for key, value in vars(arguments).items()}  # fmt: skip
    name = "_".join(filter(None, ("variants", arguments.kind, arguments.tag)))
    print(write_result(name, {"options": options, "wall_seconds": time.monotonic() - began, **result}))


if __name__ == "__main__":
    main()
