"""`seqchem embed`."""

from __future__ import annotations

from seqchem.configs.embed import EmbedConfig


def embed(config: EmbedConfig) -> int:
    """Write a vector for every row of a file of molecules or proteins."""
    import dataclasses
    import sys
    from pathlib import Path

    from seqchem.api import load
    from seqchem.chemistry.files import writable
    from seqchem.embedding_results import check_ending
    from seqchem.embedding_vectors import embed_file
    from seqsuite.cli.output import print_json

    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    out = writable(config.out, overwrite=config.overwrite)
    check_ending(out)
    model = load(config.run, device=config.device).model
    names = ("sequence_column", "salts", "on_invalid", "pooling", "batch_size")
    options = {name: getattr(config, name) for name in names}
    found = embed_file(model, Path(config.input).expanduser(), **options)
    found.save(out)
    counts = {"rows": len(found), "vectors": int(found.ok.sum()), "width": found.vectors.shape[1]}
    if config.json:
        print_json({"out": str(out), **counts, "notes": found.notes(), "options": dataclasses.asdict(config)})
        return 0
    for note in found.notes():
        print(f"seqchem: {note}", file=sys.stderr)
    print(f"wrote {out}: {counts['rows']} rows, {counts['vectors']} vectors of width {counts['width']}")
    return 0
