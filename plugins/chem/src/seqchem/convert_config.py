"""What published Regression Transformers say of themselves: config.json and the tokenizer's files, read and written.

Two branches of the published code spell the numerical encodings in two ways, `use_numerical_encodings`,
`numerical_encodings_type`, ... and `use_ne`, `ne_type`, ...; both are read. The names of activations and sizes are
XLNet's (`seqsuite.models.xlnet_convert`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqchem.configs.models import RTConfig
from seqchem.tokenizers.expression import PUBLISHED_LANGUAGES
from seqchem.tokenizers.splitting import LANGUAGES
from seqsuite.errors import UserError
from seqsuite.models.configs import XLNetConfig
from seqsuite.models.xlnet_convert import Gelu, config_from_published, config_to_published

_SPELLINGS = {
    "use": ("use_numerical_encodings", "use_ne"),
    "type": ("numerical_encodings_type", "ne_type"),
    "format": ("numerical_encodings_format", "ne_format"),
    "dim": ("numerical_encodings_dim", "ne_dim"),
}
_PLAIN = {"attn_type": "bi", "same_length": False, "clamp_len": -1, "bi_data": False}
SPECIAL_MAP = {
    "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
}  # fmt: skip
_THEIR_LANGUAGE = {ours: theirs for theirs, ours in PUBLISHED_LANGUAGES.items()} | {"selfies": "SELFIES"}


def sizes_from_published(raw: Mapping[str, Any], rows: int, *, gelu: Gelu) -> XLNetConfig:
    """Return the XLNet of a published config.json.

    Args:
        raw: Its values.
        rows: Of the stored embedding, which counts, whatever `vocab_size` says.
        gelu: What the activation "gelu" means.

    Raises:
        UserError: It lacks a size, or asks for what a Regression Transformer has not.
    """
    config = config_from_published({**raw, "vocab_size": rows}, gelu=gelu)
    for name, plain in _PLAIN.items():
        if getattr(config, name) != plain:
            raise UserError(f"{name} is {getattr(config, name)!r}; a Regression Transformer has {plain!r}")
    # Memories are read by nobody: one text is all that a model sees.
    return replace(config, mem_len=None, reuse_len=None)


def encoding_from_published(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the numerical encodings in a config, and what the user should know.

    Raises:
        UserError: Two spellings that contradict each other, or an encoding that is not known.
    """
    notes: list[str] = []
    if not _spelled(raw, "use", False):
        if not any(name in raw for name in _SPELLINGS["use"]):
            notes.append("config.json does not say whether it has numerical encodings: none are used")
        return {"encoding": "none"}, notes
    if not raw.get("use_numerical_encodings") and raw.get("use_ne"):
        notes.append(
            "config.json says use_ne: the published code predicts with numerical encodings then, but trains without "
            "them unless it says use_numerical_encodings too; --encoding none leaves them out"
        )
    found = {
        "encoding": _spelled(raw, "type", "float"),
        "encoding_format": _spelled(raw, "format", "sum"),
        "encoding_dim": _spelled(raw, "dim", 16),
        "vmax": raw.get("vmax"),
    }
    for name, known in {"encoding": ("float", "int"), "encoding_format": ("sum", "concat")}.items():
        if found[name] not in known:
            raise UserError(f"{name} is {found[name]!r}; known are {' and '.join(known)}")
    return found, notes


def _spelled(raw: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a value under either of its names.

    Raises:
        UserError: Both are there and differ.
    """
    given = {spelling: raw[spelling] for spelling in _SPELLINGS[name] if raw.get(spelling) is not None}
    values = list(given.values())
    if len(values) == 2 and values[0] != values[1]:
        told = " and ".join(f"{spelling} {value!r}" for spelling, value in given.items())
        raise UserError(f"config.json says {told}; mend it, or give --encoding")
    return values[0] if values else default


def language_from_published(
    raw: Mapping[str, Any], tokenizer: Mapping[str, Any], vocabulary: Sequence[str]
) -> tuple[str, str]:
    """Return the language of a published model, and where it was found.

    Args:
        raw: Its config.json.
        tokenizer: Its tokenizer_config.json.
        vocabulary: Its tokens, which tell the alphabet of SELFIES and, if need be, the language.

    Raises:
        UserError: A language that is not known here.
    """
    for source, values in (("tokenizer_config.json", tokenizer), ("config.json", raw)):
        name = values.get("language")
        if isinstance(name, str) and name:
            return _language(name, vocabulary, source), source
    return _guessed(vocabulary), "the vocabulary"


def _language(name: str, vocabulary: Sequence[str], source: str) -> str:
    upper = name.upper()
    if upper == "SELFIES":
        return _selfies(vocabulary)
    if upper in PUBLISHED_LANGUAGES:
        return PUBLISHED_LANGUAGES[upper]
    if name in LANGUAGES:
        return name
    raise UserError(f"{source} says language {name!r}; known are {', '.join(PUBLISHED_LANGUAGES)}")


def _selfies(vocabulary: Sequence[str]) -> str:
    """Return the alphabet: symbols such as [Branch1_1] and [nHexpl] were renamed in SELFIES 2."""
    old = any(re.fullmatch(r"\[(Branch\d_\d|Expl.*|.*expl)\]", token) for token in vocabulary)
    new = any(re.fullmatch(r"\[[=#]?Branch\d\]", token) for token in vocabulary)
    return "selfies" if new and not old else "selfies_v1"


def _guessed(vocabulary: Sequence[str]) -> str:
    tokens = set(vocabulary)
    if "[C]" in tokens:
        return _selfies(vocabulary)
    if tokens & {">>", "<energy>"} and tokens & {"c", "="}:
        return "reaction"
    return "smiles" if tokens & {"c", "=", "("} else "protein"


def config_to_files(config: RTConfig, sizes: XLNetConfig) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return config.json, tokenizer_config.json and special_tokens_map.json of a model.

    What an import kept of the first two comes back, with the names that it had there.

    Args:
        config: The model's.
        sizes: Of the XLNet in it.
    """
    published = config.metadata.get("published", {})
    raw = published.get("config", {})
    own = config_to_published(sizes)
    own |= {name: raw[name] for name in ("mem_len", "reuse_len") if name in raw}
    # An activation's name means what it meant where the model comes from.
    if published.get("activation") == config.activation:
        own["ff_activation"] = raw.get("ff_activation", "gelu")
    pad, mask = config.vocabulary.index("[PAD]"), config.vocabulary.index("[MASK]")
    language = _THEIR_LANGUAGE[config.language]
    fresh = {"language": language.lower(), "pad_token_id": pad, "bos_token_id": mask, "eos_token_id": mask}
    written = {**(raw or fresh), **own, **_encoding_to_published(config, raw)}
    tokenizer = published.get("tokenizer") or {"do_lower_case": False, "language": language, **SPECIAL_MAP}
    return written, dict(tokenizer), dict(SPECIAL_MAP)


def _encoding_to_published(config: RTConfig, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numerical encodings of a config in the spelling of the file that it came from."""
    values: dict[str, Any] = {"use": config.encoding != "none"}
    if config.encoding != "none":
        values |= {"type": config.encoding, "format": config.encoding_format, "dim": config.encoding_dim}
    spellings = [place for place in (0, 1) if any(names[place] in raw for names in _SPELLINGS.values())] or [0]
    found = {_SPELLINGS[name][place]: value for place in spellings for name, value in values.items()}
    return found | ({"vmax": config.vmax} if config.encoding != "none" else {})
