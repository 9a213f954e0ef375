"""`seqdna saliency`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqdna.configs.saliency import SaliencyConfig

if TYPE_CHECKING:
    from pathlib import Path

    from seqdna.api import GenomeModel
    from seqdna.saliency import Saliency


def saliency(config: SaliencyConfig) -> int:
    """Show which bases of a region matter to a model, and which known motifs lie there."""
    from seqdna.api import load
    from seqdna.saliency import read_motifs
    from seqsuite.cli.output import print_json

    out, figure, hits = outputs(config)
    motifs = None
    if config.motifs is not None:
        motifs = read_motifs(config.motifs, name=config.motif, taxon=config.taxon)
    result = explain_region(config, load(config.run, device=config.device))
    files = [out, figure]
    if motifs is not None:
        result = result.with_hits(motifs, p_value=config.p_value)
        files.append(result.save_hits(hits))
    result.save(out)
    result.save_figure(figure)
    about = {
        "record": result.name,
        "start": result.start + 1,
        "end": result.start + len(result),
        "scores": result.about,
    }
    if config.json:
        print_json({**about, "hits": result.hit_table(), "files": [str(path) for path in files]})
        return 0
    print(f"{result.name}:{about['start']}-{about['end']}, {result.about}")
    for row in sorted(result.hit_table(), key=lambda row: row["p_value"])[:10]:
        print(
            f"  {row['name']} ({row['motif']}) at {row['start']}-{row['end']} {row['strand']}, p {row['p_value']:.1e}"
        )
    if len(result.hits) > 10:
        print(f"  ... and {len(result.hits) - 10} more motif hits")
    print(f"wrote {', '.join(str(path) for path in files)}")
    return 0


def outputs(config: SaliencyConfig) -> tuple[Path, Path, Path]:
    """Return where scores, figure and hits go, once all can be written."""
    from pathlib import Path

    from seqdna.saliency.results import check_figure
    from seqsuite.errors import UserError

    out = Path(config.out).expanduser()
    if out.suffix != ".tsv":
        raise UserError(f"--out {out}: the scores are a table; its name must end in .tsv.")
    figure = check_figure(config.figure if config.figure is not None else out.with_suffix(".png"))
    hits = out.with_suffix(".hits.tsv")
    for path in (out, figure, hits) if config.motifs is not None else (out, figure):
        if not path.parent.is_dir():
            raise UserError(f"{path}: cannot write it, there is no folder {path.parent}.")
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists; add --overwrite or choose another --out or --figure.")
    return out, figure, hits


def explain_region(config: SaliencyConfig, model: GenomeModel) -> Saliency:
    """Run what the options ask for."""
    from seqdna.data import Genome, open_genome, parse_region
    from seqdna.saliency import explain
    from seqsuite.errors import UserError

    if config.sequence is not None:
        genome = Genome.from_sequences({"sequence": model.checked(config.sequence)}, model.tokenizer)
    else:
        assert config.fasta is not None
        genome = open_genome(config.fasta, model.tokenizer)
    lengths = {record.name: record.length for record in genome.records}
    if config.region is None and len(lengths) > 1:
        raise UserError(
            f"{config.fasta} has {len(lengths)} records; add --region, as in --region {next(iter(lengths))}:1-200."
        )
    region = parse_region(config.region if config.region is not None else next(iter(lengths)), lengths)
    first, last = max(0, region.start - config.flank), min(lengths[region.record], region.end + config.flank)
    if last - first > config.max_length:
        raise UserError(
            f"{region} with flanks has {last - first:,} bases, more than {config.max_length:,}: give a shorter "
            "--region, or raise --max-length."
        )
    position = None if config.position is None else config.position - 1 - first
    if position is not None and not 0 <= position < last - first:
        raise UserError(f"--position {config.position}: not within the region and its flanks, {first + 1}-{last}.")
    return explain(
        model.model, model.tokenizer, genome.fetch(region.record, first, last), name=region.record, offset=first,
        span=(region.start - first, region.end - first), method=config.method, target=config.target,
        position=position, mask_stride=config.mask_stride, strands=config.strands, batch_tokens=config.batch_tokens,
    )  # fmt: skip
