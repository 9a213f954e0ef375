"""From a file of sequences to a model: what `seqchem pretrain` and `seqchem finetune` do, as functions.

from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.training import finetune
result = finetune(RTFinetuneConfig("freesolv.csv.gz", properties=("expt",), split="scaffold", out="runs/freesolv"))
result.table()
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqchem.configs.data import SequenceTrainConfig
from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.configs.pretrain import RTPretrainConfig
from seqchem.data.tables import refused_rows
from seqchem.models.regression_transformer import RegressionTransformer
from seqchem.proteins.letters import CHAIN_SEPARATOR
from seqchem.tokenizers import NumberFormat
from seqchem.training.augment import Augmenter
from seqchem.training.batches import Masking, ScoringRows, TrainingRows
from seqchem.training.building import load_start, make_model, number_formats, start_fingerprint, with_metadata
from seqchem.training.inputs import TrainingInputs, open_inputs
from seqchem.training.order import Schedule
from seqchem.training.results import OWN_FILES, RTFinetuneResult, RTPretrainResult, write_run, write_split
from seqchem.training.rows import TokenRows
from seqchem.training.scoring import score_parts
from seqchem.training.task import RTTask
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError, unknown_name
from seqsuite.training import FitResult, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank

_VALIDATED = 19


@dataclass(frozen=True)
class _Prepared:
    """What both verbs build before their first step."""

    inputs: TrainingInputs
    model: RegressionTransformer
    rows: TokenRows
    fingerprints: dict[str, str]


def pretrain(config: RTPretrainConfig) -> RTPretrainResult:
    """Train a model to fill in masked tokens of sequences, and of numbers where there are any.

    Args:
        config: The options.

    Returns:
        The result; where `max_minutes` ended the run it is not `finished`.

    Raises:
        UserError: The file, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    ready = _prepare(config, need_property=False)
    model = ready.model
    masking = Masking(
        probability=config.mask_probability, max_span=config.max_span, permuted=model.two_stream, drop_others=0.0
    )
    train = _training_rows(config, ready, Schedule("plm"), masking)
    scored, truth, spread = _scoring_rows(config, ready, masking, "plm")
    task = RTTask(model, config, truth=truth, spread=spread, by_sequence=True)
    done = _fit(config, ready, task, train, scored, export="last")
    result = RTPretrainResult(done, model.name or config.model, model.num_parameters(), _facts(config, ready))
    if process_rank() == 0 and result.finished:
        write_run(result, ready.inputs)
    return result


def finetune(config: RTFinetuneConfig) -> RTFinetuneResult:
    """Train a model to predict properties and to write sequences for them, and score it on held-out rows.

    Args:
        config: The options.

    Returns:
        The result; where `max_minutes` ended the run it is not `finished`.

    Raises:
        UserError: The file, a property, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    ready = _prepare(config, need_property=config.task in ("both", "property"))
    model = ready.model
    binders = config.task == "binders"
    masking = Masking(
        drop_others=config.drop_others,
        leading=config.leading,
        probability=1.0 if binders else config.mask_probability,
        max_span=config.max_span,
        whole=config.mask_whole,
        separators=_separators(CHAIN_SEPARATOR if binders else config.entity_separator, config, model),
        entity=-1 if binders else config.entity,
        permuted=model.two_stream,
        consistent=config.sc_weight > 0 and config.task != "property" and bool(ready.inputs.table.values),
    )
    schedule = Schedule("generation" if config.task == "binders" else config.task, config.alternate)
    train = _training_rows(config, ready, schedule, masking)
    scored, truth, spread = _scoring_rows(config, ready, masking, "conditional")
    task = RTTask(
        model,
        config,
        reduction=config.reduction,
        sc_weight=config.sc_weight,
        truth=truth,
        spread=spread,
        by_sequence=config.task in ("generation", "binders"),
    )
    export = "best" if config.export == "best" and scored is not None else "last"
    done = _fit(config, ready, task, train, scored, export=export)
    result = RTFinetuneResult(
        done,
        model.name or config.model,
        model.num_parameters(),
        _facts(config, ready),
        weights=export,
        properties=tuple(ready.inputs.table.values),
    )
    if process_rank() != 0 or not result.finished:
        return result
    say("predicting the rows that were not trained on")
    scores, calibration = score_parts(model, ready.inputs, rows=config.score_rows, seed=config.seed)
    result = dataclasses.replace(result, scores=tuple(scores))
    write_run(result, ready.inputs, calibration)
    return result


def _prepare(config: SequenceTrainConfig, *, need_property: bool) -> _Prepared:
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = RunFolder(config.out)
    folder.check_further(OWN_FILES, config)
    start = load_start(config.start) if config.start else None
    inputs = open_inputs(config, start=start, need_property=need_property)
    if getattr(config, "task", "") == "binders":
        inputs = _check_pairs(inputs, config)
    formats, notes = number_formats(inputs, config, start)
    seed_everything(config.seed)
    augment = getattr(config, "augment", 0.0)
    if augment and inputs.table.language != "smiles":
        raise UserError(f"--augment is for molecules; {config.source} holds {inputs.table.language} sequences")
    model, told = make_model(
        config, inputs, formats, start, alphabet=getattr(config, "alphabet", True), augmented=augment > 0
    )
    rows = TokenRows.of(model.tokenizer, inputs.texts, inputs.table.values)
    longest = model.config.max_length
    inputs = inputs.without(np.flatnonzero(rows.longest_text() > longest), f"longer than {longest} tokens")
    _check_labelled(inputs, formats)
    for line in (*inputs.notes, *notes, *told):
        say(line)
    counts = rows_of(rows, inputs.rows("train")).length_counts()
    with_metadata(model, {"columns": dict(inputs.table.columns), "sequence_lengths": counts})
    fingerprints = dict(inputs.fingerprints) | ({"start": start_fingerprint(start)} if start is not None else {})
    return _Prepared(inputs, model, rows, fingerprints)


def _check_labelled(inputs: TrainingInputs, formats: dict[str, NumberFormat]) -> None:
    for name in formats:
        if np.isnan(inputs.table.values[name][inputs.rows("train")]).all():
            raise UserError(f"{inputs.table.path}: no training row has a value of {name}")


def _separators(separator: str, config: RTFinetuneConfig, model: RegressionTransformer) -> tuple[int, ...]:
    if not separator:
        if config.entity is not None:
            raise UserError("--entity needs --entity_separator, the token between parts of a sequence")
        return ()
    vocabulary = model.config.vocabulary
    if separator not in vocabulary:
        raise unknown_name("token (--entity_separator)", separator, vocabulary)
    return (vocabulary.index(separator),)


def _check_pairs(inputs: TrainingInputs, config: SequenceTrainConfig) -> TrainingInputs:
    """Return the inputs of a run on targets and binders without rows that are no pair.

    Raises:
        UserError: Rows are no pair, and are not to be left out; or the sequences are no proteins.
    """
    table = inputs.table
    if table.language != "protein":
        raise UserError(f"{table.path} holds {table.language} sequences; --task binders is for proteins")
    bad = [row for row, text in enumerate(table.sequences) if CHAIN_SEPARATOR not in text]
    if bad and config.on_invalid == "error":
        told = refused_rows(table.path, table.unit, [(table.rows[row], "no TARGET.BINDER") for row in bad])
        raise UserError(f"{told}; name a column with --binder_column, or leave them out with --on_invalid skip")
    return inputs.without(bad, "no TARGET.BINDER")


def rows_of(rows: TokenRows, chosen: np.ndarray) -> TokenRows:
    """Return some rows.

    Args:
        rows: All of them.
        chosen: Indices, in their new order.
    """
    lengths = rows.lengths[chosen]
    pieces = [rows.tokens[rows.offsets[row] : rows.offsets[row + 1]] for row in chosen]
    return dataclasses.replace(
        rows,
        tokens=np.concatenate(pieces) if pieces else rows.tokens[:0],
        offsets=np.concatenate(([0], lengths.cumsum())),
        numbers={name: values[chosen] for name, values in rows.numbers.items()},
        present={name: values[chosen] for name, values in rows.present.items()},
    )


def _training_rows(
    config: RTPretrainConfig | RTFinetuneConfig, ready: _Prepared, schedule: Schedule, masking: Masking
) -> TrainingRows:
    chosen = ready.inputs.rows("train")
    rows = rows_of(ready.rows, chosen)
    augmenter = None
    if config.augment:
        sequences = ready.inputs.table.sequences
        around = int((ready.rows.longest_text() - ready.rows.lengths).max())
        augmenter = Augmenter(
            [sequences[row] for row in chosen],
            ready.model.tokenizer,
            probability=config.augment,
            seed=config.seed,
            longest=ready.model.config.max_length - around,
        )
    made = TrainingRows(
        rows,
        ready.model.tokenizer,
        schedule,
        masking,
        batch_size=config.batch_size,
        seed=config.seed,
        bucket=config.bucket,
        augmenter=augmenter,
    )
    steps = config.steps / (2 if schedule.task == "both" else 1)
    say(f"{config.steps:,} steps are {steps * config.batch_size / len(rows):.3g} passes over {len(rows):,} rows")
    return made


def _scoring_rows(
    config: SequenceTrainConfig, ready: _Prepared, masking: Masking, mode: Any
) -> tuple[ScoringRows | None, dict[str, np.ndarray], dict[str, float]]:
    """Return the validation rows, their measured values, and the deviations of the training values."""
    valid, values = ready.inputs.rows("valid"), ready.inputs.table.values
    if len(valid) > config.validation_rows:
        valid = np.sort(item_rng(config.seed, _VALIDATED).permutation(valid)[: config.validation_rows])
    if not len(valid):
        return None, {}, {}
    # Rows of like length beside each other: less of a batch is padding.
    valid = valid[np.argsort(ready.rows.lengths[valid], kind="stable")]
    scored = ScoringRows(rows_of(ready.rows, valid), ready.model.tokenizer, masking, mode=mode, seed=config.seed)
    truth = {name: column[valid] for name, column in values.items() if mode != "plm"}
    train = ready.inputs.rows("train")
    return scored, truth, {name: float(np.nanstd(values[name][train])) for name in truth}


def _fit(
    config: SequenceTrainConfig,
    ready: _Prepared,
    task: RTTask,
    train: TrainingRows,
    scored: ScoringRows | None,
    *,
    export: Any,
) -> FitResult:
    done = fit(task, train, scored, config, inputs=ready.fingerprints, export=export, report=False)
    if process_rank() == 0:
        write_split(done.folder, ready.inputs)
    return done


def _facts(config: SequenceTrainConfig, ready: _Prepared) -> dict[str, Any]:
    inputs = ready.inputs
    facts: dict[str, Any] = {
        "source": Path(config.source).name,
        "language": inputs.language,
        "rows": len(inputs.table),
        **{f"{part} rows": len(rows) for part, rows in inputs.parts.items()},
        "left out of the file": len(inputs.table.left_out),
        "vocabulary": len(ready.model.config.vocabulary),
        "longest sequence": int(ready.rows.lengths.max()),
    }
    for name in inputs.table.values:
        form = ready.model.tokenizer.number_format(name)
        facts[f"format of {name}"] = f"{form.minimum:g} to {form.maximum:g}, steps of {form.resolution:.3g}"
    if config.start:
        facts["start"] = Path(config.start).name
    return facts
