"""`seqdna generate`."""

from __future__ import annotations

from seqdna.configs.generate import GenerateConfig


def generate(config: GenerateConfig) -> int:
    """Write new sequence: continue a prompt with a causal model, or fill marked bases with one that sees both sides."""
    from pathlib import Path

    from seqdna.api import load
    from seqdna.data import read_fasta
    from seqdna.resources import resolve_genome
    from seqsuite.cli.output import print_json
    from seqsuite.errors import UserError

    out = None if config.out is None else Path(config.out).expanduser()
    if out is not None and out.exists() and not config.overwrite:
        raise UserError(f"{out} exists; add --overwrite or choose another --out.")
    if out is not None and not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot write it, there is no folder {out.parent}.")
    model = load(config.run, device=config.device)
    prompts = {"prompt": config.prompt}
    if config.fasta is not None:
        prompts = {name: text.decode("ascii") for name, text in read_fasta(resolve_genome(config.fasta))}
    shared = {"n": config.n, "seed": config.seed, "temperature": config.temperature}
    shared |= {"top_k": config.top_k, "top_p": config.top_p}
    if model.model.config.head == "causal_lm":
        if config.steps is not None or config.sweeps is not None:
            raise UserError("--steps and --sweeps are for filling marked bases; a causal model continues its prompt.")
        result = model.generate(prompts, length=config.length, mode=config.mode, **shared)  # type: ignore[arg-type]
    else:
        if config.mode != "auto":
            raise UserError("--mode is for causal models; this model reads both directions and fills marked bases.")
        filling = {"steps": config.steps, "order": config.order, "sweeps": config.sweeps}
        result = model.infill(prompts, **filling, **shared)  # type: ignore[arg-type]
    if out is not None:
        result.save(out)
    if config.json:
        rows = zip(result.names, result.sequences, result.new(), strict=True)
        written = [{"name": name, "sequence": text, "new": new} for name, text, new in rows]
        print_json({"settings": dict(result.settings), "out": None if out is None else str(out), "sequences": written})
    elif out is None:
        print(result.fasta(), end="")
    else:
        print(f"wrote {out}: {len(result)} sequences")
    return 0
