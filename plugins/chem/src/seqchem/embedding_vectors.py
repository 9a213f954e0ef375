"""Vectors of molecules and proteins from a Regression Transformer.

    found = embed_sequences(model, ["CCO", "c1ccccc1"])            # found.vectors (N, D), NaN rows where there is none

A vector is pooled from the content stream, in which every token sees the whole text; the text is the sequence alone,
without properties.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqchem.collating import pad_rows
from seqchem.data.canonical import check_sequences
from seqchem.data.tables import read_table, refused_rows
from seqchem.embedding_results import MoleculeEmbeddings
from seqchem.models.regression_transformer import RegressionTransformer
from seqchem.prediction.network import evaluating
from seqchem.tokenizers import unknown_line
from seqsuite.errors import UserError, unknown_name

Pooling = Literal["mean", "cls", "last"]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last")


def pooled(features: Tensor, input_ids: Tensor, tokenizer: Any, pooling: Pooling) -> Tensor:
    """Return one vector a row, (B, D).

    Args:
        features: (B, T, D).
        input_ids: (B, T).
        tokenizer: Its special ids.
        pooling: The mean over the sequence's tokens ([CLS], [SEP] and padding left out), [CLS], or the last token of
            the sequence.
    """
    if pooling == "cls":
        return features[torch.arange(len(features)), (input_ids == tokenizer.cls_token_id).int().argmax(1)]
    outside = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    inside = ~torch.isin(input_ids, torch.tensor(outside, device=input_ids.device))
    if pooling == "last":
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return features[torch.arange(len(features)), torch.where(inside, places, 0).amax(1)]
    weights = inside.to(features.dtype)[..., None]
    return (features * weights).sum(1) / weights.sum(1).clamp(min=1)


def embed_sequences(
    model: RegressionTransformer,
    sequences: Sequence[str],
    *,
    pooling: Pooling = "mean",
    batch_size: int = 64,
    status: Sequence[str] | None = None,
    rows: Sequence[int] = (),
) -> MoleculeEmbeddings:
    """Return a vector for each sequence; what is none of the model's language keeps its row, with a status.

    Args:
        model: A Regression Transformer.
        sequences: N SMILES, or letters of amino acids.
        pooling: mean, cls or last; see `pooled`.
        batch_size: Sequences at once; changes nothing but rounding.
        status: "ok" or a reason for each, where they were looked at before; None: they are checked here.
        rows: Numbers of the rows in their file.

    Raises:
        UserError: An option that is not known.
    """
    check_options(pooling, batch_size)
    told, texts = _texts(model, sequences, status)
    encoded = [model.tokenizer.encode(text) if one == "ok" else [] for one, text in zip(told, texts, strict=True)]
    for index, ids in enumerate(encoded):
        if len(ids) > model.config.max_length:
            told[index] = f"{len(ids)} tokens; the model takes {model.config.max_length}"
    vectors = np.full((len(sequences), model.config.d_model), np.nan, dtype=np.float32)
    # Rows of like length share a batch: the longest sets the cost of all.
    ready = sorted((index for index, one in enumerate(told) if one == "ok"), key=lambda index: len(encoded[index]))
    with evaluating(model) as device:
        for start in range(0, len(ready), batch_size):
            chosen = ready[start : start + batch_size]
            batch = pad_rows([encoded[index] for index in chosen], model.tokenizer.pad_token_id).to(device)
            vectors[chosen] = pooled(model.features(batch), batch, model.tokenizer, pooling).float().cpu().numpy()
    unknown = model.tokenizer.unknown_counts(texts[index] for index in ready)
    return MoleculeEmbeddings(tuple(sequences), vectors, tuple(told), tuple(rows), pooling, unknown_line(unknown))


def check_options(pooling: str, batch_size: int) -> None:
    """Raise unless the options are such."""
    if pooling not in POOLINGS:
        raise unknown_name("pooling", pooling, POOLINGS)
    if batch_size < 1:
        raise UserError(f"--batch_size is {batch_size}; it must be at least 1")


def _texts(
    model: RegressionTransformer, sequences: Sequence[str], status: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return each row's status, and its text in the model's language."""
    language = model.config.language
    given, told = [str(sequence).strip() for sequence in sequences], list(status or ["ok"] * len(sequences))
    if status is None:
        kind = "smiles" if language.startswith("selfies") else language
        checked = check_sequences(given, language=kind)
        given, told = checked.texts, [reason or "ok" for reason in checked.reasons]
    if not language.startswith("selfies"):
        return told, given
    for index, text in enumerate(given):
        try:
            given[index] = model.tokenizer.from_smiles(text) if told[index] == "ok" else ""
        except UserError as error:  # a molecule that SELFIES cannot write
            told[index] = " ".join(str(error).split())
    return told, given


def embed_file(
    model: RegressionTransformer,
    path: str | os.PathLike[str],
    *,
    sequence_column: str = "",
    salts: Literal["keep", "largest", "refuse"] = "keep",
    on_invalid: Literal["error", "skip", "keep"] = "keep",
    pooling: Pooling = "mean",
    batch_size: int = 64,
) -> MoleculeEmbeddings:
    """Return a vector for each row of a file.

    Args:
        model: A Regression Transformer.
        path: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        sequence_column: Column of the sequences; empty: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows that have no vector: an error, left out, or kept with their status and NaN.
        pooling: mean, cls or last.
        batch_size: Sequences at once.

    Raises:
        UserError: The file or a row of it, or an option.
    """
    check_options(pooling, batch_size)
    table = read_table(
        path, sequence_column=sequence_column, language=model.config.language, salts=salts, on_invalid="keep"
    )
    found = embed_sequences(
        model, table.sequences, pooling=pooling, batch_size=batch_size, status=table.status, rows=table.rows
    )
    bad = [(row, one) for row, one in zip(table.rows, found.status, strict=True) if one != "ok"]
    if bad and on_invalid == "error":
        raise UserError(f"{refused_rows(table.path, table.unit, bad)}; mend them, or add --on_invalid keep or skip")
    if len(bad) == len(found):
        raise UserError(f"{refused_rows(table.path, table.unit, bad)}; none is left")
    return found.only_ok() if on_invalid == "skip" else found
