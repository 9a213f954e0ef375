"""The model of a run: its number formats and vocabulary from the training rows, its weights fresh or from a start."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import seqsuite
from seqchem.configs.data import SequenceTrainConfig
from seqchem.configs.models import RTConfig
from seqchem.models.regression_transformer import RegressionTransformer
from seqchem.tokenizers import NumberFormat, build_vocabulary, missing_tokens, unknown_line
from seqchem.training.augment import rewritten_smiles
from seqchem.training.inputs import TrainingInputs
from seqsuite.errors import UserError, unknown_name
from seqsuite.models import load_model, model_config
from seqsuite.models.files import load_weights

_BY_DATA = ("vocabulary", "number_formats", "language", "metadata")
_OF_START = ("dropout", "max_length")
_SEEN_TWICE = 20_000
"""Molecules that are written in another order of atoms to see which symbols that brings."""


def load_start(path: str) -> RegressionTransformer:
    """Load the model that a run goes on from.

    Args:
        path: A run folder, or a model folder.

    Raises:
        UserError: There is none, or it is no Regression Transformer.
    """
    folder = Path(path).expanduser()
    inner = folder / "model"
    try:
        model = load_model(inner if inner.is_dir() else folder)
    except UserError as error:
        raise UserError(f"--start {path}: {error}") from error
    if not isinstance(model, RegressionTransformer):
        raise UserError(f"--start {path} holds a {type(model).__name__}, no Regression Transformer")
    return model


def start_fingerprint(model: RegressionTransformer) -> str:
    """Return the SHA-256 of a model's weights.

    Args:
        model: The one that a run goes on from.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def number_formats(
    inputs: TrainingInputs, config: SequenceTrainConfig, start: RegressionTransformer | None
) -> tuple[dict[str, NumberFormat], list[str]]:
    """Return how each property's numbers are written, from the training rows alone, and what was decided.

    A start that knows a property keeps its format, where that has room for the training rows.

    Args:
        inputs: The rows.
        config: The options.
        start: The model that is gone on from.

    Raises:
        UserError: A property is constant in the training rows, or its numbers have too many digits.
    """
    known = {} if start is None else start.tokenizer.number_formats
    formats: dict[str, NumberFormat] = {}
    notes = []
    for name, column in inputs.table.values.items():
        values = column[inputs.rows("train")]
        values = values[~np.isnan(values)]
        said = f"{inputs.table.path}: {inputs.table.columns.get(name, name)}, training rows"
        found = NumberFormat.from_values(values, decimals=config.decimals, normalize=config.normalize, name=said)
        old = known.get(name)
        if old is not None and not old.outside(found.minimum) and not old.outside(found.maximum):
            formats[name] = old
            notes.append(f"{name}: numbers as in --start, {old.minimum:g} to {old.maximum:g}")
            continue
        formats[name] = found
        kind = "labels" if found.labels is not None else f"steps of {found.resolution:.3g}"
        notes.append(f"{name}: {found.minimum:g} to {found.maximum:g} in {len(values):,} training rows, {kind}")
    return formats, notes


def make_model(
    config: SequenceTrainConfig,
    inputs: TrainingInputs,
    formats: Mapping[str, NumberFormat],
    start: RegressionTransformer | None,
    *,
    alphabet: bool,
    augmented: bool,
) -> tuple[RegressionTransformer, list[str]]:
    """Build the network; the generators were seeded before.

    Args:
        config: The options.
        inputs: The rows.
        formats: How numbers are written.
        start: The model that is gone on from.
        alphabet: Whether a new vocabulary has every symbol of the language.
        augmented: Whether molecules will be written in other ways.

    Returns:
        The model, and lines that say what was decided.

    Raises:
        UserError: An option of the model.
    """
    train = inputs.rows("train")
    texts = [inputs.texts[row] for row in train]
    if augmented:
        texts += _other_texts(inputs, train[:_SEEN_TWICE])
    options: dict[str, Any] = {"digits": range(-config.decimals, 1), "alphabet": alphabet and start is None}
    wanted = build_vocabulary(texts, inputs.language, dict(formats), **options)
    settings: dict[str, Any] = {
        "language": inputs.language,
        "number_formats": {name: form.to_dict() for name, form in formats.items()},
    }
    model = _new(config, wanted, settings, formats) if start is None else _grown(config, start, wanted, settings)
    held = [inputs.texts[row] for part in ("valid", "test") for row in inputs.rows(part)]
    unknown = unknown_line(model.tokenizer.unknown_counts(held))
    return model, ([f"in validation and test: {unknown}"] if unknown else [])


def _other_texts(inputs: TrainingInputs, rows: np.ndarray) -> list[str]:
    from seqchem.training.inputs import _selfies_line

    written = (rewritten_smiles(inputs.table.sequences[row], 0, int(row)) for row in rows)
    if not inputs.language.startswith("selfies"):
        return list(written)
    return [line for line in map(_selfies_line, written) if not line.startswith("\t")]


def _new(
    config: SequenceTrainConfig, vocabulary: tuple[str, ...], settings: dict[str, Any],
    formats: Mapping[str, NumberFormat],
) -> RegressionTransformer:  # fmt: skip
    known = model_config(config.model)
    if not isinstance(known, RTConfig):
        raise UserError(f"--model {config.model} is no Regression Transformer; give rt_mini or another size of it")
    names = [item.name for item in dataclasses.fields(known) if item.name not in _BY_DATA]
    for name in config.model_options:
        if name in _BY_DATA:
            raise UserError(f"--model_options.{name}: is taken from the data")
        if name not in names:
            raise unknown_name(f"option of model {config.model!r}", name, names)
    width = int(config.model_options.get("d_model", known.d_model))
    # The published 0.02 belongs to wide models: a narrow one with it attends to nothing for thousands of steps.
    options = {"vmax": _vmax(formats), "initializer_range": max(0.02, width**-0.5)} | dict(config.model_options)
    if config.max_length:
        options["max_length"] = config.max_length
    model = seqsuite.create_model(config.model, vocabulary=vocabulary, **settings, **options)
    assert isinstance(model, RegressionTransformer)
    return model


def _vmax(formats: Mapping[str, NumberFormat]) -> float:
    """Return the largest number that is written."""
    largest = [1.0 if form.normalized else max(abs(form.minimum), abs(form.maximum)) for form in formats.values()]
    return max(largest, default=1.0)


def _grown(
    config: SequenceTrainConfig, start: RegressionTransformer, wanted: tuple[str, ...], settings: dict[str, Any]
) -> RegressionTransformer:
    """Return the start with what its vocabulary lacks, and with the numbers of this run."""
    for name in config.model_options:
        if name not in _OF_START:
            raise UserError(f"--model_options.{name}: --start says it; only {' and '.join(_OF_START)} can be changed")
    new = missing_tokens(start.config.vocabulary, wanted)
    grown = start.resize_vocabulary(new) if new else start
    options = dict(config.model_options) | ({"max_length": config.max_length} if config.max_length else {})
    kept = {key: value for key, value in grown.config.metadata.items() if key != "sequence_lengths"}
    model = RegressionTransformer(dataclasses.replace(grown.config, **settings, **options, metadata=kept))
    load_weights(model, grown.state_dict(), config.start)
    model.name = start.name
    return model.train()


def with_metadata(model: RegressionTransformer, facts: Mapping[str, Any]) -> None:
    """Note in a model's config where it comes from.

    Args:
        model: Its config is replaced.
        facts: Plain values.
    """
    model.config = dataclasses.replace(model.config, metadata={**model.config.metadata, **facts})
