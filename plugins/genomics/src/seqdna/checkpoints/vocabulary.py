"""The vocabulary that belongs to a checkpoint: from its own files, or by the size and complement of its table.

Published checkpoints carry it as ``tokenizer.json`` (the tokenizers library), as ``vocab.json``, or in a
Python class only. Of the latter, two vocabularies are known: that of Caduceus and HyenaDNA (12 ids), and
that of PlantCaduceus (7 ids, bases from 3). A vocabulary must fill the rows of the embedding and pair the
bases as the checkpoint's complement table does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqdna.configs.models import GenomeConfig
from seqdna.tokenizers import PUBLISHED, NucleotideTokenizer, Tokenizer, tokenizer_from_dict
from seqsuite.errors import UserError
from seqsuite.models.published import read_json


def vocabulary_of(
    folder: Path | None, config: GenomeConfig, *, given: str | Path | None = None, system: str = "caduceus"
) -> Tokenizer:
    """Return the tokenizer of a checkpoint.

    Args:
        folder: Where its files lie; None: nowhere.
        config: Its config, with the rows of the embedding and the complement table.
        given: A tokenizer file to take instead.
        system: The public system whose policies (lower case, U) a published vocabulary takes.

    Raises:
        UserError: The vocabulary is not one of bases, does not match the embedding, or is not known.
    """
    if given is not None and not Path(given).is_file():
        raise UserError(f"--tokenizer {given}: there is no such file")
    files = [Path(given)] if given is not None else []
    files += [folder / name for name in ("tokenizer.json", "vocab.json")] if folder and not files else []
    for path in files:
        if path.is_file():
            tokenizer = read_tokenizer(path, system=system)
            check_vocabulary(tokenizer, config, path)
            return tokenizer
    for name in (system, "plantcaduceus"):
        known = NucleotideTokenizer.published(name)
        if _misfit(known, config) is None:
            return known
    raise UserError(
        f"its embedding has {config.padded_vocab_size} rows, which no known vocabulary of bases has, "
        "and no tokenizer.json lies beside it; is it a genome model? --tokenizer FILE names its vocabulary"
    )


def read_tokenizer(path: Path, *, system: str = "caduceus") -> Tokenizer:
    """Read our tokenizer.json, that of the tokenizers library, or a vocab.json (token -> id).

    Args:
        path: The file.
        system: The public system whose policies it takes; our file says them itself.

    Raises:
        UserError: It is damaged, or its tokens are not single bases.
    """
    content = read_json(path)
    try:
        if isinstance(content.get("type"), str):
            return tokenizer_from_dict(content)
        tokens = _tokens(content)
        suffix = ("[SEP]",) if "[SEP]" in tokens else ()
        return NucleotideTokenizer(**PUBLISHED[system] | {"tokens": tokens, "suffix": suffix})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: is no tokenizer that can be read ({error})") from error


def _tokens(content: dict[str, Any]) -> tuple[str, ...]:
    """Return the tokens in id order; letters in upper case, ids that nothing names filled in."""
    ids = dict(content["model"]["vocab"]) if isinstance(content.get("model"), dict) else dict(content)
    ids |= {str(extra["content"]): extra["id"] for extra in content.get("added_tokens") or ()}
    if not ids or not all(isinstance(token, str) and type(number) is int for token, number in ids.items()):
        raise UserError("is no table of token -> id")
    words = [token for token in ids if len(token) > 1 and token[0] not in "[<"]
    if words:
        raise UserError(f"its vocabulary has words such as {words[0]!r}; a genome model here reads one base a token")
    if max(ids.values()) > 254 or min(ids.values()) < 0:
        raise UserError(f"its ids run from {min(ids.values())} to {max(ids.values())}; at most 0 to 254 can be read")
    names = {number: _spelt(token) for token, number in ids.items()}
    return tuple(names.get(number, f"[SPARE{number}]") for number in range(max(names) + 1))


def _spelt(token: str) -> str:
    """Write a letter in upper case and a special token in brackets, as the tokenizers here do."""
    if token[0] == "<" and token[-1] == ">":
        return f"[{token[1:-1].upper()}]"
    return token.upper() if len(token) == 1 else token


def _misfit(tokenizer: Tokenizer, config: GenomeConfig) -> str | None:
    """Return why a vocabulary is not the model's, or None where it fits."""
    tokens, rows = len(tokenizer), config.padded_vocab_size
    # Tables are rounded up to a multiple of 8 rows, also where the config no longer says so.
    if not 0 <= rows - tokens < max(8, config.pad_vocab_size_multiple):
        return f"it has {tokens} tokens, but the checkpoint's embedding has {rows} rows"
    if config.both_strands and complement_of(tokenizer, rows) != config.full_complement_map:
        return "it pairs the bases otherwise than the checkpoint's complement table"
    return None


def complement_of(tokenizer: Any, rows: int | None = None) -> tuple[int, ...]:
    """Return the complement of each id of a tokenizer, over the rows of an embedding if they are given."""
    return tuple(tokenizer.complement_map(rows).values())


def check_vocabulary(tokenizer: Tokenizer, config: GenomeConfig, source: object) -> None:
    """Refuse a tokenizer that is not the model's.

    Args:
        tokenizer: The tokenizer.
        config: The model's config.
        source: Where the tokenizer comes from, for the message.

    Raises:
        UserError: Its tokens are not the rows of the embedding, or its complement is not the model's.
    """
    reason = _misfit(tokenizer, config)
    if reason is not None:
        raise UserError(
            f"{source}: does not match the checkpoint: {reason}; give the tokenizer that belongs to these weights"
        )
