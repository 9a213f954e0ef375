"""Rows to be filled: goals written out, and a sequence that is masked in whole or in part.

    prompt = Prompt.of(model, {"qed": 0.9})
    prompt.row([mask] * 30)                                # from nothing: [CLS] <qed> 0 . 9 ... | [MASK] x 30 [SEP]
    tokens = seed_tokens(model, "CC(=O)Nc1ccccc1", keep="c1ccccc1")
    masked = mask_spans(tokens, 0.4, generator)            # the kept atoms' tokens stay

A seed's spans are drawn until the wanted part of its tokens is masked; a span may grow or shrink by some tokens, as
a molecule that is better need not be as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rdkit import Chem

from seqchem.chemistry.parsing import parse
from seqchem.generation.kept import kept_tokens
from seqchem.proteins.letters import problem_of
from seqchem.tokenizers.expression import unknown_line
from seqsuite.errors import UserError, unknown_name

STORED_LENGTHS = "sequence_lengths"
"""Key of a model config's metadata: how many training sequences have how many tokens, {"23": 1041, ...}."""
_USUAL_LENGTHS = (20, 40)
_SEPARATORS = frozenset({".", ">", ">>"})


@dataclass(frozen=True)
class Prompt:
    """What stands in front of a sequence.

    Attributes:
        ids: [CLS], the goals and the separator.
        end: Id of [SEP].
        pad: Id of [PAD].
        even: Whether the text is made even by a [PAD] before [SEP], as the tokenizer does.
        room: Most tokens of a sequence.
    """

    ids: tuple[int, ...]
    end: int
    pad: int
    even: bool
    room: int

    @classmethod
    def of(cls, model: Any, targets: Mapping[str, float]) -> Prompt:
        """Return the prompt of some goals.

        Args:
            model: A Regression Transformer.
            targets: Property -> wanted value, in its unit.

        Raises:
            UserError: The model was not trained on a property, or cannot write the value.
        """
        tokenizer, known = model.tokenizer, list(model.config.number_formats)
        ids = [tokenizer.cls_token_id]
        for name, value in targets.items():
            if name not in known:
                raise unknown_name("property of this model", name, known)
            ids.append(tokenizer.property_id(name))
            try:
                ids += _ids(model, tokenizer.number_tokens(name, value))
            except UserError as error:
                raise UserError(f"{name}={value:g}: {error}") from error
            ids.append(tokenizer.separator_id)
        even = bool(getattr(tokenizer, "pad_even", True))
        room = model.config.max_length - len(ids) - 1 - even
        return cls(tuple(ids), tokenizer.sep_token_id, tokenizer.pad_token_id, even, room)

    def row(self, sequence: Sequence[int]) -> list[int]:
        """Return the whole row of a sequence's ids."""
        body = [*self.ids, *sequence]
        if self.even and (len(body) - 1) % 2:  # [CLS] and [SEP] do not count
            body.append(self.pad)
        return [*body, self.end]

    def sequence(self, row: Sequence[int]) -> list[int]:
        """Return the sequence's ids of a row."""
        body = list(row[len(self.ids) : len(row) - 1])
        return body[:-1] if body and body[-1] == self.pad else body


def check_masking(fraction: float, resize: int) -> None:
    """Refuse a part of the tokens to mask, or a change of a span's length, that cannot be.

    Args:
        fraction: See `mask_spans`.
        resize: See `mask_spans`.

    Raises:
        UserError: One is out of its range.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"--fraction is {fraction}; it must be above 0 and at most 1")
    if resize < 0:
        raise UserError(f"--resize is {resize}; it must be at least 0")


def draw_lengths(
    model: Any, count: int, generator: torch.Generator, *, lengths: tuple[int, int] | None = None
) -> list[int]:
    """Draw how many tokens sequences get that are made from nothing.

    Args:
        model: Its config's metadata hold the lengths of the training sequences, where training stored them.
        count: How many.
        generator: Draws.
        lengths: Shortest and longest instead, each length as likely.
    """
    stored = model.config.metadata.get(STORED_LENGTHS) if lengths is None else None
    if stored:
        sizes = torch.tensor([int(size) for size in stored])
        weights = torch.tensor([float(many) for many in stored.values()], dtype=torch.float64)
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
        return [int(size) for size in sizes[drawn]]
    low, high = lengths or _USUAL_LENGTHS
    return torch.randint(low, high + 1, (count,), generator=generator).tolist()


@dataclass(frozen=True)
class SeedTokens:
    """A seed in the model's language.

    Attributes:
        given: As it was given.
        text: Its canonical SMILES; of proteins the letters.
        ids: Its tokens.
        free: Of each token, whether it may be masked.
    """

    given: str
    text: str
    ids: tuple[int, ...]
    free: tuple[bool, ...]


def seed_tokens(model: Any, sequence: str, *, keep: str = "") -> SeedTokens:
    """Read a seed.

    Args:
        model: A Regression Transformer.
        sequence: SMILES, or letters of a protein.
        keep: SMARTS with blanks between them, which the seed has; tokens of their atoms are not masked. The bonds and
            ring closures around them may still change: what comes out is checked.

    Raises:
        UserError: It is no molecule, or lacks what is to be kept, or is longer than the model takes.
    """
    tokenizer, language = model.tokenizer, model.config.language
    text = sequence.strip()
    if language == "protein":
        text = written = text.upper()
        problem = problem_of(text, further=True) if text else None
        if problem is not None:
            raise UserError(f"seed {sequence!r} {problem}")
    elif language == "reaction":
        written = text
    else:
        text, written = _in_language(tokenizer, text)
    tokens = tokenizer.tokenize(written)
    if not tokens:
        raise UserError(f"seed {sequence!r} is empty")
    if len(tokens) > model.config.max_length - 2:
        raise UserError(f"seed {sequence!r} has {len(tokens)} tokens; the model takes {model.config.max_length - 2}")
    unknown = unknown_line(tokenizer.unknown_counts([written]))
    if unknown:
        raise UserError(f"seed {sequence!r}: {unknown}")
    fixed = kept_tokens(sequence, written, tokens, keep, language)
    free = tuple(number not in fixed and token not in _SEPARATORS for number, token in enumerate(tokens))
    return SeedTokens(sequence, text, _ids(model, tokens), free)


def _ids(model: Any, tokens: Sequence[str]) -> tuple[int, ...]:
    known = model.config.vocabulary
    unknown = model.tokenizer.unk_token_id
    return tuple(known.index(token) if token in known else unknown for token in tokens)


def _in_language(tokenizer: Any, text: str) -> tuple[str, str]:
    """Return canonical SMILES and text in the model's language."""
    molecule = parse(text)
    if molecule is None:
        raise UserError(f"seed {text!r} is no molecule")
    smiles = Chem.MolToSmiles(molecule)
    return smiles, tokenizer.from_smiles(smiles)


def mask_spans(
    seed: SeedTokens,
    fraction: float,
    mask: int,
    generator: torch.Generator,
    *,
    longest: int = 5,
    resize: int = 1,
    room: int = 10**9,
) -> list[int]:
    """Return a seed's ids with spans of them masked.

    Spans of 1 to `longest` tokens are drawn until `fraction` of the tokens that may be masked are masked, at least
    one; then each span gets up to `resize` masks more or fewer, and keeps at least one.

    Args:
        seed: The seed.
        fraction: Part of its free tokens to mask, above 0 to 1.
        mask: Id of [MASK].
        generator: Draws.
        longest: Longest span.
        resize: Tokens by which a span may grow or shrink.
        room: Most tokens of the result.

    Raises:
        UserError: All tokens are to be kept.
    """
    places = [number for number, free in enumerate(seed.free) if free]
    if not places:
        raise UserError(f"seed {seed.given!r}: everything is to be kept, nothing can change")
    wanted = max(1, round(fraction * len(places)))
    chosen: set[int] = set()
    while len(chosen) < wanted:
        start = places[_draw(len(places), generator)]
        length = 1 + _draw(min(longest, wanted - len(chosen)), generator)
        for place in range(start, min(start + length, len(seed.ids))):
            if not seed.free[place]:
                break
            chosen.add(place)
    return _resized(seed, chosen, mask, resize, room, generator)


def _resized(
    seed: SeedTokens, chosen: set[int], mask: int, resize: int, room: int, generator: torch.Generator
) -> list[int]:
    """Return the ids with the chosen places masked, runs of masks resized."""
    found: list[int] = []
    place, spare = 0, room - len(seed.ids)
    while place < len(seed.ids):
        if place not in chosen:
            found.append(seed.ids[place])
            place += 1
            continue
        run = 0
        while place in chosen:
            run, place = run + 1, place + 1
        change = _draw(2 * resize + 1, generator) - resize
        change = max(1 - run, min(change, spare))
        spare -= change
        found += [mask] * (run + change)
    return found


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (1,), generator=generator))
