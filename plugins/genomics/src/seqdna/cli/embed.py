"""`seqdna embed`."""

from __future__ import annotations

from seqdna.configs import EmbedConfig


def embed(config: EmbedConfig) -> int:
    """Embed the sequences of a FASTA file with a trained model."""
    from pathlib import Path

    from seqdna.api import load
    from seqdna.data import read_fasta
    from seqdna.resources import resolve_genome
    from seqsuite.cli.output import print_json, print_table
    from seqsuite.errors import UserError

    out = Path(config.out).expanduser()
    if out.suffix != ".npz":
        raise UserError(f"--out {out} must end in .npz.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot write it, there is no folder {out.parent}.")
    if out.exists() and not config.overwrite:
        raise UserError(f"{out} exists; add --overwrite or choose another --out.")
    model = load(config.run)
    records = dict(read_fasta(resolve_genome(config.fasta)))
    result = model.embed(records, pool=config.pool, batch_tokens=config.batch_tokens)
    result.save(out)
    if config.json:
        print_json({"out": str(out), "sequences": len(result.names), "width": result.width, "pool": config.pool})
        return 0
    shown = result.table()
    print_table(tuple(shown[0]), [tuple(row.values()) for row in shown[:10]])
    if len(shown) > 10:
        print(f"... and {len(shown) - 10} more")
    print(f"wrote {out}: {len(result.names)} sequences, vectors of width {result.width}")
    return 0
