"""`seqchem optimize`."""

from __future__ import annotations

from seqchem.configs.optimize import OptimizeMoleculesConfig


def optimize(config: OptimizeMoleculesConfig) -> int:
    """Search for better molecules near seeds: masked, written anew and verified, round after round."""
    from seqchem.api import load
    from seqchem.chemistry.files import writable
    from seqchem.generation.seeds import given_sequences
    from seqchem.generation.writing import tell, write_all
    from seqsuite.errors import UserError

    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    out = writable(config.out, overwrite=config.overwrite, beside=(".html", ".png")) if config.out else None
    trained = load(config.run, device=config.device)
    if trained.config.language in ("protein", "reaction") and (config.keep or config.avoid):
        raise UserError("--keep and --avoid are SMARTS of molecules; this model writes none")
    seeds = given_sequences(
        trained.model, config.seeds, column=config.sequence_column, flag="SEEDS", on_invalid=config.on_invalid,
        keep=config.keep, limit=config.limit,
    )  # fmt: skip
    names = ("similarity", "rounds", "children", "population", "fraction", "resize", "rdkit", "seed")
    found = trained.optimize(
        seeds,
        config.goals(),
        limits=config.limits(),
        fill=config.filling(),
        **{name: getattr(config, name) for name in names},
    )
    written = write_all(found, out, f"Optimised by {trained.name}") if out is not None else []
    tell(found, found.summary(), written, json=config.json)
    return 0
