"""Peptides that bind a protein, written by a masked model of pairs (PepMLM, Chen et al. 2023).

    found = generate_binders(model, target, length=12, n=20, generator=torch.Generator().manual_seed(0))
    found.table()                                        # the lowest pseudo-perplexity first

https://arxiv.org/abs/2310.03842. A pair is one text, ``TARGET.BINDER``: in training the whole binder is masked and
read from the target (`binder_batch`), for a new one its length is masked, the model is run once, and every place is
drawn from the likeliest amino acids there, each on its own. Candidates are ranked by the pseudo-perplexity of the
binder: exp of the mean -log p of each of its residues, that residue alone being masked. The original writes target and
binder without anything between them; the dot is what parts of a text are separated by here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqchem.collating import RTBatch, mask_entities, mask_positions
from seqchem.generation.binder_results import GeneratedBinders
from seqchem.prediction.network import evaluating
from seqchem.proteins.letters import AMINO_ACIDS, CHAIN_SEPARATOR, check_proteins
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqchem.configs.generate import GenerateMoleculesConfig

SEPARATOR = CHAIN_SEPARATOR
TOP_K = 3  # as published; the default of --top_k is the same
_FOREIGN = ("keep", "avoid", "similarity", "train", "lengths", "top_p", "rounds")


def pair_text(target: str, binder: str) -> str:
    """Return the text of a pair.

    Args:
        target: A protein; B, O, U, X and Z may be in it.
        binder: A peptide, of the twenty amino acids.

    Raises:
        UserError: One of them is none.
    """
    check_proteins([target], further=True)
    check_proteins([binder])
    return f"{target}{SEPARATOR}{binder}"


def separator_id(tokenizer: Any) -> int:
    """Return the id of what stands between target and binder.

    Raises:
        UserError: The model reads no proteins, or was not made for pairs.
    """
    if tokenizer.language != "protein":
        raise UserError(f"binders are proteins; this model reads {tokenizer.language}")
    if SEPARATOR not in tokenizer.vocabulary:
        raise UserError(f"the model knows no {SEPARATOR!r}, which stands between target and binder: train it on texts "
                        "such as TARGET.BINDER, with `seqchem finetune --task binders`")  # fmt: skip
    return int(tokenizer.vocabulary.index(SEPARATOR))


def binder_batch(input_ids: Tensor, tokenizer: Any, **options: Any) -> RTBatch:
    """Mask the whole binder of each pair: what PepMLM trains on.

    Args:
        input_ids: (B, T) encoded texts; a row without a separator is asked for nothing.
        tokenizer: Of the model.
        options: `order`, `generator` and `randperm` of `seqchem.collating.mask_entities`.
    """
    separators = [separator_id(tokenizer)]
    batch = mask_entities(input_ids, tokenizer, separators, entity=-1, whole=True, **options)
    alone = ~(input_ids == separators[0]).any(1)
    if not bool(alone.any()):
        return batch
    # The last part of a row with one part is the target itself.
    masked = batch.asked & ~alone[:, None]
    return mask_positions(input_ids, masked, tokenizer, **options)


@dataclass(frozen=True)
class _Pair:
    """A target with room for a binder: ids (T,), and where the binder stands."""

    ids: Tensor
    places: Tensor

    @classmethod
    def of(cls, model: Any, target: str, length: int) -> _Pair:
        check_proteins([target], source="the target", further=True)
        tokenizer = model.tokenizer
        separator = separator_id(tokenizer)
        unknown = tokenizer.unknown_counts([target])
        if unknown:
            raise UserError(f"the target has {', '.join(sorted(unknown))}, which the model does not know")
        ids = torch.tensor(tokenizer.encode(pair_text(target, AMINO_ACIDS[0] * length)))
        if len(ids) > model.config.max_length:
            raise UserError(f"target and binder are {len(ids)} tokens; the model takes {model.config.max_length}")
        start = int((ids == separator).nonzero()[-1]) + 1
        return cls(ids, torch.arange(start, start + length))


def generate_binders(
    model: Any,
    target: str,
    length: int,
    n: int,
    *,
    top_k: int = TOP_K,
    temperature: float = 1.0,
    tries: int = 20,
    batch_size: int = 64,
    generator: torch.Generator,
) -> GeneratedBinders:
    """Write peptides that bind a protein, as the model has it.

    Args:
        model: A Regression Transformer of proteins that was trained on pairs.
        target: The protein.
        length: Residues of a binder.
        n: How many different ones are wanted.
        top_k: Amino acids that each place is drawn from, the likeliest there.
        temperature: Divides the logits.
        tries: Most draws for each wanted one.
        batch_size: Masked copies at once, for the pseudo-perplexity.
        generator: Draws, on the CPU.

    Returns:
        Up to n different binders, the lowest pseudo-perplexity first.

    Raises:
        UserError: The target is no protein or too long, the model was not made for pairs, or an option is out of range.
    """
    for name, value in {"length": length, "n": n, "top_k": top_k, "tries": tries, "batch_size": batch_size}.items():
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError(f"--temperature is {temperature}; it must be above 0")
    pair = _Pair.of(model, target, length)
    letters = [letter for letter in AMINO_ACIDS if letter in model.tokenizer.vocabulary]
    allowed = [model.tokenizer.vocabulary.index(letter) for letter in letters]
    masked = pair.ids.clone()
    masked[pair.places] = model.tokenizer.mask_token_id
    logits = _logits(model, masked[None], pair.places[None])[0][:, allowed]  # (length, A)
    found, drawn = _different(logits, letters, n, tries * n, top_k, temperature, generator)
    values = pseudo_perplexity(model, target, found, batch_size=batch_size)
    order = np.argsort(values, kind="stable")
    return GeneratedBinders(target, tuple(found[place] for place in order), values[order], n, drawn)


def _different(
    logits: Tensor,
    letters: Sequence[str],
    n: int,
    most: int,
    top_k: int,
    temperature: float,
    generator: torch.Generator,
) -> tuple[list[str], int]:
    """Return up to n different peptides from the logits (length, A) of their places, and how many were drawn."""
    best, kinds = logits.topk(min(top_k, len(letters)), dim=-1)
    shares = torch.softmax(best.double() / temperature, dim=-1)
    found: dict[str, None] = {}
    drawn = 0
    wanted = min(n, shares.shape[1] ** min(len(shares), 64))
    while len(found) < wanted and drawn < most:
        some = min(most - drawn, wanted - len(found))
        chosen = torch.multinomial(shares, some, replacement=True, generator=generator)  # (length, some)
        for peptide in kinds.gather(1, chosen).T.tolist():
            found["".join(letters[kind] for kind in peptide)] = None
        drawn += some
    return list(found), drawn


def pseudo_perplexity(model: Any, target: str, binders: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
    """Return the pseudo-perplexity of binders beside their target.

    Each residue is masked alone, all others being seen; the probabilities are those among all tokens.

    Args:
        model: A Regression Transformer of proteins that was trained on pairs.
        target: The protein.
        binders: n peptides, of any lengths.
        batch_size: Masked copies at once.

    Returns:
        (n,) float64, exp of the mean -log p.

    Raises:
        UserError: As `generate_binders`.
    """
    check_proteins(binders, source="the binders")
    values = []
    for binder in binders:
        pair = _Pair.of(model, target, len(binder))
        tokenizer = model.tokenizer
        letters = torch.tensor([tokenizer.vocabulary.index(letter) for letter in binder])
        pair.ids[pair.places] = letters
        copies = pair.ids.repeat(len(binder), 1)
        copies[torch.arange(len(binder)), pair.places] = tokenizer.mask_token_id
        logits = torch.cat([
            _logits(model, some, places[:, None])[:, 0]
            for some, places in zip(copies.split(batch_size), pair.places.split(batch_size), strict=True)
        ])  # fmt: skip
        told = torch.log_softmax(logits.double(), dim=-1).gather(1, letters[:, None])
        values.append(math.exp(-float(told.mean())))
    return np.array(values, dtype=np.float64)


def _logits(model: Any, ids: Tensor, places: Tensor) -> Tensor:
    """Return logits (B, P, V) at places (B, P) of rows (B, T) with masks, which are hidden from one another."""
    batch = mask_positions(
        ids, ids == model.tokenizer.mask_token_id, model.tokenizer, order="hidden" if model.two_stream else "none"
    )
    with evaluating(model) as device:
        hidden = None if batch.perm_mask is None else batch.perm_mask.to(device)
        found: Tensor = model(ids.to(device), perm_mask=hidden, positions=places.to(device))
    return found.float().cpu()


def target_of(text: str) -> str:
    """Return the protein that a command is given: letters, or a file of one.

    Args:
        text: Letters, or a file (.fasta, .csv, ...).

    Raises:
        UserError: The file has none or several.
    """
    from seqchem.data.tables import read_table
    from seqchem.generation.seeds import file_of

    path = file_of(text, "--binder_of")
    if path is None:
        return text.strip().upper()
    found = read_table(path, language="protein").sequences
    if len(found) != 1:
        raise UserError(f"--binder_of {text} holds {len(found)} proteins; give a file of one, or its letters")
    return found[0]


def generate_binders_command(config: GenerateMoleculesConfig, trained: Any, out: Path | None) -> int:
    """Run `seqchem generate --binder_of`.

    Args:
        config: The command's options.
        trained: Has the model and its name.
        out: A CSV file to write.
    """
    from seqchem.generation.writing import tell, write_all

    usual = {name: type(config).__dataclass_fields__[name].default for name in _FOREIGN}
    given = [f"--{name}" for name in _FOREIGN if getattr(config, name) != usual[name]]
    if given:
        raise UserError(f"{', '.join(given)}: is no option of --binder_of, which draws each place from the likeliest "
                        f"{config.top_k} amino acids")  # fmt: skip
    found = generate_binders(
        trained.model,
        target_of(config.binder_of),
        config.length,
        config.n,
        top_k=config.top_k,
        temperature=config.temperature,
        tries=config.tries,
        batch_size=config.batch_size,
        generator=torch.Generator().manual_seed(config.seed),
    )
    written = write_all(found, out, f"Binders by {trained.name}") if out is not None else []  # type: ignore[arg-type]
    tell(found, found.table(), written, json=config.json)  # type: ignore[arg-type]
    return 0
