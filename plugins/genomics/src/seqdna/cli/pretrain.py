"""`seqdna pretrain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqdna.configs import PretrainConfig

if TYPE_CHECKING:
    from seqdna.pretraining import PretrainResult


def pretrain(config: PretrainConfig) -> int:
    """Pretrain a language model on a genome and measure it beside count models."""
    from seqdna.pretraining import pretrain as run

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print((result.folder / "summary.json").read_text(encoding="utf-8"), end="")
    else:
        show(result)
    return 0


def show(result: PretrainResult) -> None:
    """Print a result, where its files are, and three commands to try next."""
    from seqdna.pretraining import caption
    from seqsuite.cli.output import print_table

    rows = result.table()
    title = "\nHeld-out bits per base (less is better)"
    print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title=title)
    print(f"\n{caption(result)}")
    print(f"{result.tokens_per_second:,.0f} bases a second in training; {result.seconds:.0f} seconds in all.")
    folder = result.folder
    print(f"\nreport: {folder / 'report.html'} (open it in a browser)")
    print(f"model:  {folder / 'model'}")
    print("\nTry next:")
    print(f"  seqdna embed {folder} your_sequences.fa --out embeddings.npz")
    print(f"  python -c \"import seqdna; print(seqdna.load('{folder}').embed(['ACGTACGTTAGC']).vectors.shape)\"")
    print("  seqdna pretrain --fasta your_genome.fa --out runs/mine")
