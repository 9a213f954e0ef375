"""Properties of sequences: masked digits to numbers in the user's units, with deviation, interval and warnings.

found = predict_properties(model, ["CCO", "c1ccccc1"], ["logp"])
found["logp"].values, found["logp"].low, found.table()
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from seqchem.prediction.calibration import interval_scale
from seqchem.prediction.network import asked_numbers, masked_rows
from seqchem.prediction.results import PredictedProperty, PropertyPredictions
from seqsuite.errors import UserError, unknown_name

__all__ = ["PreparedRows", "asked_properties", "predict_properties", "prepare_rows", "settled_point"]

Decode = Literal["independent", "sequential"]
Point = Literal["auto", "mean", "mode"]
_NORMAL = NormalDist()


class PreparedRows(NamedTuple):
    """Rows as a model reads them.

    Attributes:
        status: "ok", or why a row cannot be predicted.
        texts: In the model's language; empty where the status is not "ok".
        warnings: Words on a row that is predicted all the same.
    """

    status: list[str]
    texts: list[str]
    warnings: list[str]


def predict_properties(
    model: Any,
    sequences: Sequence[str],
    properties: Sequence[str] | None = None,
    *,
    batch_size: int = 64,
    decode: Decode = "independent",
    point: Point = "auto",
    clip: bool = False,
    device: str | None = None,
    calibration: Mapping[str, Any] | None = None,
    level: float = 0.9,
    beams: int = 4,
    status: Sequence[str] | None = None,
    rows: Sequence[int] = (),
    prepared: PreparedRows | None = None,
) -> PropertyPredictions:
    """Predict properties from nothing but the sequence.

    Every property is asked on its own, in one pass over all its digits (decode="independent") or a pass for each digit
    (decode="sequential", which shows each digit those before it, of several beginnings).

    Args:
        model: A Regression Transformer.
        sequences: SMILES, or letters of amino acids; what is none keeps its row, with a status.
        properties: Which; None: all of the model.
        batch_size: Rows at once; changes nothing but rounding.
        decode: How the digits are decoded.
        point: mean: of the number's distribution; mode: the likeliest number; auto: the mean, but the likeliest class
            of columns of classes.
        clip: Clip values and intervals to the trained range.
        device: Where to run; None: where the model is.
        calibration: From `calibrate`, of the same `decode` and `point`; otherwise intervals are those of a normal
            distribution.
        level: What share of measured values the interval is to cover.
        beams: Beginnings that sequential decoding keeps.
        status: Of each row, where they were looked at before: only rows that are "ok" are predicted.
        rows: Line numbers, for the table.
        prepared: The rows from `prepare_rows`, where they were looked at before.

    Raises:
        UserError: The model has no such property, or options that do not go together.
    """
    for flag, word, known_words in (("decode", decode, get_args(Decode)), ("point", point, get_args(Point))):
        if word not in known_words:
            raise unknown_name(f"--{flag}", word, known_words)
    for flag, value in (("batch_size", batch_size), ("beams", beams)):
        if value < 1:
            raise UserError(f"--{flag} is {value}; it must be at least 1")
    if not 0 < level < 1:
        raise UserError(f"--level is {level:g}; it must lie between 0 and 1")
    names = asked_properties(model.config, properties)
    if device is not None:
        from seqsuite.models.create import to_device

        to_device(model, device)
    told, texts, row_warnings = prepared or prepare_rows(model, sequences, names, status=status)
    ready = [index for index, one in enumerate(told) if one == "ok"]
    asked = [texts[index] for index in ready]
    begun, found = time.perf_counter(), {}
    for name in names:
        raw = _raw(model, name, asked, batch_size, beams if decode == "sequential" else 0)
        form, known = model.tokenizer.number_formats[name], (calibration or {}).get(name)
        scale, coverage = interval_scale(known, level, settled_point(point, form), decode)
        entry = _property(name, form, raw, settled_point(point, form), scale=scale, level=level, clip=clip)
        found[name] = _spread(dataclasses.replace(entry, coverage=coverage), ready, len(told))
    seconds = time.perf_counter() - begun
    return PropertyPredictions(tuple(sequences), tuple(told), found, tuple(row_warnings), tuple(rows), seconds)


def asked_properties(config: Any, properties: Sequence[str] | None) -> list[str]:
    """Return the properties to predict, brackets off.

    Args:
        config: The model's.
        properties: What was asked; None or nothing: all.

    Raises:
        UserError: The model has no such property, or none at all.
    """
    known = list(config.number_formats)
    if not known:
        raise UserError("the model was trained on no property: it predicts none; fine-tune it with `seqchem finetune`")
    names = list(dict.fromkeys(name.strip("<>") for name in properties or known))
    for name in names:
        if name not in known:
            raise unknown_name("property of this model", name, known)
    return names


def settled_point(point: Point, form: Any) -> Literal["mean", "mode"]:
    """Return what stands for the distribution of a property.

    Args:
        point: What was asked.
        form: The property's NumberFormat.
    """
    if point != "auto":
        return point
    return "mean" if form.labels is None else "mode"


def prepare_rows(
    model: Any, sequences: Sequence[str], properties: Sequence[str], *, status: Sequence[str] | None = None
) -> PreparedRows:
    """Write sequences in the model's language, and tell which cannot be predicted and why.

    Args:
        model: A Regression Transformer.
        sequences: SMILES, or letters of amino acids.
        properties: That will be asked.
        status: Of each row, where they were looked at before; None: molecules are parsed and made canonical, letters
            of proteins checked.
    """
    told = list(status) if status is not None else ["ok"] * len(sequences)
    found = PreparedRows(told, [""] * len(told), [""] * len(told))
    for index, sequence in enumerate(sequences):
        if told[index] == "ok":
            told[index], found.texts[index] = _written(model, str(sequence).strip(), checked=status is not None)
    for index, text in enumerate(found.texts):
        unknown = model.tokenizer.unknown_counts([text]) if told[index] == "ok" else None
        if unknown:
            found.warnings[index] = "tokens that the vocabulary lacks: " + ", ".join(sorted(unknown)[:5])
    widest = max(properties, key=lambda name: len(model.tokenizer.slot_ids(name)))
    readable = [index for index, one in enumerate(told) if one == "ok"]
    rows = masked_rows(model.tokenizer, widest, [found.texts[index] for index in readable])
    for index, ids in zip(readable, rows, strict=True):
        if len(ids) > model.config.max_length:
            told[index] = f"{len(ids)} tokens; the model takes {model.config.max_length}"
    return found


def _written(model: Any, text: str, *, checked: bool) -> tuple[str, str]:
    """Return a row's status, and its text in the model's language."""
    molecule = model.config.language in ("smiles", "selfies", "selfies_v1")
    if molecule and not checked:
        from seqchem.chemistry.parsing import standardize

        canonical, reason = standardize(text)
        if canonical is None:
            return reason, ""
        text = canonical
    if model.config.language == "protein" and not checked:
        from seqchem.data.canonical import check_protein

        letters, reason = check_protein(text)
        if letters is None:
            return reason, ""
        text = letters
    if not text:
        return "empty", ""
    if not molecule:
        return "ok", text
    try:
        return "ok", model.tokenizer.from_smiles(text)
    except (UserError, ValueError) as error:  # a molecule that SELFIES cannot write
        return " ".join(str(error).split()) or type(error).__name__, ""


class _Raw(NamedTuple):
    """Numbers of the n rows that were asked, in the user's units, each (n,) float64."""

    mean: np.ndarray
    mode: np.ndarray
    std: np.ndarray
    probability: np.ndarray | None
    invalid: np.ndarray | None


def _raw(model: Any, name: str, texts: list[str], batch_size: int, beams: int) -> _Raw:
    mean, mode, std, probability = (np.zeros(len(texts)) for _ in range(4))
    invalid: np.ndarray | None = np.zeros(len(texts), dtype=bool)
    labels = model.tokenizer.number_formats[name].labels
    binary = labels is not None and list(labels) == [0, 1]
    for chosen, found in asked_numbers(model, name, texts, batch_size=batch_size, beams=beams):
        mean[chosen], mode[chosen] = found.numbers.mean.cpu().numpy(), found.numbers.value.cpu().numpy()
        std[chosen] = found.numbers.variance.clamp(min=0).sqrt().cpu().numpy()
        if binary and found.labels is not None:
            probability[chosen] = found.labels[:, 1].cpu().numpy()
        if invalid is not None:
            invalid = None if found.invalid is None else _with(invalid, chosen, found.invalid.cpu().numpy())
    return _Raw(mean, mode, std, probability if binary else None, invalid)


def _property(
    name: str, form: Any, raw: _Raw, point: Literal["mean", "mode"], *, scale: float, level: float, clip: bool
) -> PredictedProperty:
    """Return values, intervals and warnings of the n rows that were asked; without a scale, normal intervals."""
    values = raw.mean if point == "mean" else raw.mode
    width = scale * (raw.std + form.resolution) if scale else _NORMAL.inv_cdf((1 + level) / 2) * raw.std
    bounds = [values, values - width, values + width]
    if clip:
        bounds = [np.clip(part, form.minimum, form.maximum) for part in bounds]
    return PredictedProperty(
        name,
        bounds[0],
        raw.std,
        bounds[1],
        bounds[2],
        form.minimum,
        form.maximum,
        level,
        calibrated=scale > 0,
        warnings=_warnings(form, values),
        probability=raw.probability,
        invalid=raw.invalid,
    )


def _with(table: np.ndarray, rows: list[int], values: np.ndarray) -> np.ndarray:
    table[rows] = values
    return table


def _warnings(form: Any, values: np.ndarray) -> tuple[str, ...]:
    """Return words on values at the edge of the trained range or outside; nothing on classes, which are all edges."""
    if form.labels is not None:
        return ("",) * len(values)
    trained = f"the trained range, {form.minimum:.6g} to {form.maximum:.6g}"
    # Half a step of the last digit is what rounding alone does.
    room = form.resolution / 2 + 1e-12 * max(abs(form.minimum), abs(form.maximum))

    def told(value: float) -> str:
        if value < form.minimum - room or value > form.maximum + room:
            return f"outside {trained}"
        if value <= form.minimum + room or value >= form.maximum - room:
            return f"at the edge of {trained}"
        return ""

    return tuple(map(told, values))


def _spread(entry: PredictedProperty, ready: list[int], count: int) -> PredictedProperty:
    """Return a property of the predicted rows as one of all rows, NaN in the others."""
    parts: dict[str, Any] = {}
    for name in ("values", "std", "low", "high", "probability"):
        values = getattr(entry, name)
        if values is not None:
            parts[name] = _with(np.full(count, np.nan), ready, values)
    words = dict(zip(ready, entry.warnings, strict=True))
    parts["warnings"] = tuple(words.get(index, "") for index in range(count))
    if entry.invalid is not None:
        parts["invalid"] = _with(np.zeros(count, dtype=bool), ready, entry.invalid)
    return dataclasses.replace(entry, **parts)
