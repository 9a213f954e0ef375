"""Published Regression Transformers, read in the layout of their authors.

    model = load_published("qed/")                      # config.json, vocab.txt, pytorch_model.bin, inference.json
    import_checkpoint("qed/", "models/qed")             # `seqchem import`; back again: `convert_export`

https://github.com/IBM/regression-transformer. The weights are an XLNet's, name for name. Of a file of weights only
tensors are read, of every other file only values: nothing is executed. A vocabulary longer or shorter than the stored
embedding is met as the published code meets it: new rows are drawn, rows beyond are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seqchem import convert_config, convert_numbers
from seqchem.configs.models import RTConfig
from seqchem.models.regression_transformer import RegressionTransformer, xlnet_config
from seqchem.tokenizers import read_vocabulary
from seqsuite.errors import UserError
from seqsuite.models.files import load_weights
from seqsuite.models.published import find_weights, own_folder, read_json, read_weights
from seqsuite.models.transfer import Transfer, free_folder
from seqsuite.models.xlnet_convert import EMBEDDING, HEAD, Gelu, from_published

_BIAS = "lm_loss.bias"
FAMILY = "Regression Transformer (published layout)"


def load_published(source: str | Path, **choices: Any) -> RegressionTransformer:
    """Load a published Regression Transformer, in evaluation mode.

    Args:
        source: A folder with config.json, vocab.txt and weights; inference.json and tokenizer_config.json are read
            where they are there.
        choices: `gelu`, `language`, `encoding`, `ranges`, `decimals`: see `import_checkpoint`.

    Raises:
        UserError: A file is missing, damaged, or holds what is not known.
    """
    return _load(Path(source).expanduser(), **choices)[0]


def import_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    gelu: Gelu = "gelu_tanh",
    language: str = "auto",
    encoding: Literal["auto", "float", "int", "none"] = "auto",
    ranges: Sequence[str] = (),
    decimals: int = 3,
    overwrite: bool = False,
) -> Transfer:
    """Bring a published Regression Transformer into our format.

    Args:
        source: Its folder.
        out: The folder to write.
        gelu: What the config's activation "gelu" means: "gelu_tanh", with which the published models were trained, or
            "gelu", the exact form that later releases of transformers take it for.
        language: Of the text; "auto": as the files or the vocabulary say.
        encoding: Numerical encodings; "auto": as config.json says.
        ranges: ``name=minimum:maximum`` of properties that inference.json does not tell; they stand above it.
        decimals: Digits behind the dot of such properties.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: It cannot be read, is a model of ours already, or the folder cannot be written.
    """
    folder = free_folder(out, overwrite)
    path = Path(source).expanduser()
    if own_folder(path) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    model, notes = _load(path, gelu=gelu, language=language, encoding=encoding, ranges=ranges, decimals=decimals)
    model.save_pretrained(folder)
    names = ("language", "d_model", "n_layer", "n_head", "activation", "encoding", "encoding_format")
    flags = {name: getattr(model.config, name) for name in names}
    flags |= {"tokens": len(model.config.vocabulary), "properties": ", ".join(model.config.number_formats) or "none"}
    return Transfer(str(source), str(folder), FAMILY, model.num_parameters(), flags, tuple(notes))


def _load(
    folder: Path,
    *,
    gelu: Gelu = "gelu_tanh",
    language: str = "auto",
    encoding: str = "auto",
    ranges: Sequence[str] = (),
    decimals: int = 3,
) -> tuple[RegressionTransformer, list[str]]:
    """Return a published model and what the user should know."""
    raw, tokenizer, inference, vocabulary = _files(folder)
    weights = find_weights(folder)
    state = {name.removeprefix("module."): tensor for name, tensor in read_weights(weights).items()}
    try:
        rows = _rows(state)
        sizes = convert_config.sizes_from_published(raw, rows, gelu=gelu)
        if language == "auto":
            language, where = convert_config.language_from_published(raw, tokenizer, vocabulary)
        else:
            where = "--language"
        encodings, notes = ({"encoding": "none"}, []) if encoding == "none" else _encodings(raw, encoding)
        formats, reasons = convert_numbers.formats_from_published(inference, vocabulary)
        formats |= convert_numbers.formats_from_ranges(ranges, vocabulary, decimals)
        notes = [f"language {language}, by {where}", *notes, *_words_on(vocabulary, rows)]
        notes += [
            f"{name} is not predicted: {reason}; --ranges {name}=MIN:MAX tells what its numbers mean"
            for name, reason in reasons.items()
            if name not in formats
        ]
        if not formats and not reasons:
            notes.append("no file tells of a property: give --ranges name=minimum:maximum to predict one")
        config = RTConfig(
            **{name: getattr(sizes, name) for name in _SIZES},
            language=language,  # type: ignore[arg-type]
            vocabulary=vocabulary,
            number_formats=formats,
            metadata=_metadata(raw, tokenizer, inference, sizes.activation),
            **encodings,
        )
        resized = resize_rows(state, len(vocabulary), std=config.initializer_range)
        model = RegressionTransformer(config)
        tensors = from_published(resized, xlnet_config(config))
        len(model.tokenizer)  # its number formats are checked here, not at the first prediction
    except UserError as error:
        told_by = str(error)
        raise UserError(told_by if told_by.startswith(str(folder)) else f"{folder}: {told_by}") from error
    load_weights(model.backbone, tensors, weights)
    return model.eval(), notes


_SIZES = ("d_model", "n_layer", "n_head", "d_inner", "activation", "dropout", "layer_norm_eps", "initializer_range")


def _files(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """Return config.json, tokenizer_config.json, inference.json and the vocabulary; empty what is not there."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder}: {what}; give the folder of a published model: config.json, vocab.txt and weights")
    for name in ("config.json", "vocab.txt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: holds no {name}; a published model has config.json, vocab.txt and weights")
    optional = (folder / "tokenizer_config.json", folder / "inference.json")
    tokenizer, inference = (read_json(path) if path.is_file() else {} for path in optional)
    return read_json(folder / "config.json"), tokenizer, inference, read_vocabulary(folder / "vocab.txt")


def _rows(state: Mapping[str, Tensor]) -> int:
    tied = state.get(EMBEDDING, state.get(HEAD))
    if tied is None:
        raise UserError(f"the checkpoint has no {EMBEDDING}; is this a Regression Transformer?")
    return len(tied)


def _encodings(raw: Mapping[str, Any], encoding: str) -> tuple[dict[str, Any], list[str]]:
    if encoding == "auto":
        return convert_config.encoding_from_published(raw)
    spelled = {name: value for name, value in raw.items() if name not in ("use_ne", "ne_type")}
    forced = {**spelled, "use_numerical_encodings": True, "numerical_encodings_type": encoding}
    return convert_config.encoding_from_published(forced)


def _words_on(vocabulary: Sequence[str], rows: int) -> list[str]:
    notes = []
    if len(vocabulary) > rows:
        notes.append(f"vocab.txt has {len(vocabulary)} tokens, the embedding {rows} rows: the last "
                     f"{len(vocabulary) - rows} tokens get fresh weights")  # fmt: skip
    elif len(vocabulary) < rows:
        notes.append(f"vocab.txt has {len(vocabulary)} tokens, the embedding {rows} rows: the rows beyond are dropped")
    if "[PAD]" in vocabulary and vocabulary.index("[PAD]"):
        notes.append(f"[PAD] is token {vocabulary.index('[PAD]')}; the published code hides token 0 and attends to "
                     "padding, here padding is hidden")  # fmt: skip
    return notes


def _metadata(
    raw: Mapping[str, Any], tokenizer: Mapping[str, Any], inference: Mapping[str, Any], activation: str
) -> dict[str, Any]:
    kept = {"config": dict(raw), "tokenizer": dict(tokenizer), "inference": dict(inference)}
    return {"published": {**kept, "activation": activation}}


def resize_rows(state: Mapping[str, Tensor], rows: int, *, std: float, seed: int = 0) -> dict[str, Tensor]:
    """Return a published state dict whose embedding and output bias have as many rows as a vocabulary has tokens.

    Args:
        state: Under the published names.
        rows: Wanted.
        std: Deviation of fresh rows, drawn from N(0, std); fresh biases are 0.
        seed: Of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    found = dict(state)
    matrices = [found[name] for name in (EMBEDDING, HEAD) if name in found]
    fresh = torch.randn(max(rows - len(matrices[0]), 0), matrices[0].shape[1], generator=generator) * std
    for name in (EMBEDDING, HEAD):
        if name in found:
            found[name] = torch.cat((found[name][:rows], fresh.to(found[name])))
    if _BIAS in found:
        bias = found[_BIAS][:rows]
        found[_BIAS] = torch.cat((bias, bias.new_zeros(rows - len(bias))))
    return found
