"""Regression Transformers written in the layout of their authors, which transformers reads too.

export_checkpoint("runs/qed", "published/")         # XLNetLMHeadModel.from_pretrained("published/")
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seqchem import convert_config, convert_numbers
from seqchem.configs.models import RTConfig
from seqchem.convert import FAMILY
from seqchem.models.regression_transformer import RegressionTransformer, xlnet_config
from seqchem.tokenizers import write_vocabulary
from seqsuite.errors import UserError
from seqsuite.models.create import load_model
from seqsuite.models.published import own_folder
from seqsuite.models.transfer import Transfer, free_folder, make_folder, write_published
from seqsuite.training.run_folder import told, write_json

_WEIGHTS = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}


def export_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    weights: Literal["safetensors", "bin"] = "safetensors",
    overwrite: bool = False,
) -> Transfer:
    """Write a Regression Transformer as its authors' code and transformers' XLNetLMHeadModel read it.

    Args:
        source: A run folder or a model folder.
        out: The folder to write: config.json, weights, vocab.txt, tokenizer_config.json, special_tokens_map.json and,
            where the model predicts something, inference.json.
        weights: model.safetensors, or pytorch_model.bin for releases of transformers that know no safetensors, such
            as those that the published code asks for.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: There is no such model, it is no XLNet, or the folder cannot be written.
    """
    folder = free_folder(out, overwrite)
    model = _model(source)
    config = model.config
    raw, tokenizer, special = convert_config.config_to_files(config, xlnet_config(config))
    published = config.metadata.get("published", {}).get("inference", {})
    inference = convert_numbers.formats_to_published(config.number_formats, published, config.vocabulary)
    tables: dict[str, Any] = {"tokenizer_config.json": tokenizer, "special_tokens_map.json": special}
    if inference["property_token"]:
        tables["inference.json"] = inference
    make_folder(folder)
    write_vocabulary(config.vocabulary, folder / "vocab.txt")
    state = model.backbone.state_dict()
    if weights == "safetensors":
        write_published(folder, raw, state, tables=tables)
    else:
        _write_bin(folder, raw, state, tables)
    for name in {*_WEIGHTS.values(), "inference.json"} - {_WEIGHTS[weights], *tables}:
        (folder / name).unlink(missing_ok=True)  # of an export before this one
    flags = {"language": config.language, "tokens": len(config.vocabulary), "weights": _WEIGHTS[weights]}
    return Transfer(str(source), str(folder), FAMILY, model.num_parameters(), flags, tuple(_notes(config, raw)))


def _model(source: str | Path) -> RegressionTransformer:
    own = own_folder(Path(os.path.expanduser(source)))
    if own is None:
        raise UserError(f"{source}: holds no model of SeqSuite; give a run folder or a model folder")
    model = load_model(own)
    if not isinstance(model, RegressionTransformer):
        raise UserError(f"{source}: holds a {type(model).__name__}, no Regression Transformer")
    if not model.two_stream:
        raise UserError(f"{source}: its mixer is {model.config.mixer!r}; the published layout has XLNets only")
    return model


def _write_bin(folder: Path, raw: Mapping[str, Any], state: Mapping[str, Tensor], tables: Mapping[str, Any]) -> None:
    """Write plain tensors by name as `torch.save` does, then the tables, the config last."""
    path = folder / _WEIGHTS["bin"]
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with told(path):
        try:
            torch.save({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    for name, table in {**tables, "config.json": raw}.items():
        write_json(folder / name, table)


def _notes(config: RTConfig, raw: Mapping[str, Any]) -> list[str]:
    """Return what readers of the layout should know."""
    notes = []
    if config.language == "selfies":
        notes.append("its symbols are those of SELFIES 2, which the published code, with SELFIES 1, does not write")
    if config.activation == "gelu_tanh" and raw["ff_activation"] == "gelu":
        notes.append(
            "config.json says gelu as the model's source does; from version 4 on transformers takes that for the exact "
            "form, and gelu_new for the tanh approximation of this model"
        )
    if not config.number_formats:
        notes.append("the model predicts no property: there is no inference.json")
    return notes
