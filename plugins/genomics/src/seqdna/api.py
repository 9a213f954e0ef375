"""What a notebook imports: a trained genome model, from a run or a model folder.

    import seqdna
    model = seqdna.load("runs/demo")
    vectors = model.embed({"a": "ACGTACGT", "b": "TTGACA"})
    vectors                      # a table and a picture
    model.bits("ACGTACGTTAGC")   # how surprising each base is, given all the others

Results show a table and a picture in a notebook.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from seqdna.data.fasta import NUCLEOTIDES
from seqdna.evaluation import evaluating
from seqdna.models.caduceus import Caduceus
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name
from seqsuite.models import load_model
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sequences = str | bytes | Sequence[str] | Sequence[bytes] | Mapping[str, str] | Mapping[str, bytes]


@dataclass(frozen=True)
class Embeddings(TableView):
    """Vectors of sequences.

    Attributes:
        names: One name a sequence.
        vectors: (n, D) float32 with pool "mean"; a list of (length, D) float32 with pool "none".
        lengths: Bases of each sequence.
        pool: How positions were pooled.
    """

    names: tuple[str, ...]
    vectors: np.ndarray | list[np.ndarray] = field(repr=False)
    lengths: tuple[int, ...] = field(repr=False)
    pool: str

    @property
    def width(self) -> int:
        """Width D of a vector."""
        return int(self.vectors[0].shape[-1])

    def __len__(self) -> int:
        return len(self.names)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence."""
        return [
            {"sequence": name, "bases": length, "vectors": "x".join(map(str, np.shape(vector))),
             "norm": f"{np.linalg.norm(vector):.3f}"}
            for name, length, vector in zip(self.names, self.lengths, self.vectors, strict=True)
        ]  # fmt: skip

    def figure(self) -> Figure | None:
        """Draw the sequences along their first two principal components; None for fewer than three."""
        from matplotlib.figure import Figure

        if self.pool == "none" or len(self) < 3:
            return None
        points = self.principal_components(2)
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        axes.scatter(points[:, 0], points[:, 1], s=12)
        if len(self) <= 20:
            for name, (x, y) in zip(self.names, points, strict=True):
                axes.annotate(name, (x, y), fontsize=8, xytext=(3, 3), textcoords="offset points")
        axes.set(xlabel="first principal component", ylabel="second")
        return figure

    def principal_components(self, k: int = 2) -> np.ndarray:
        """Return the coordinates along the first k principal components: (n, k)."""
        centred = np.asarray(self.vectors) - np.mean(self.vectors, axis=0)
        left, scale, _ = np.linalg.svd(centred, full_matrices=False)
        return left[:, :k] * scale[:k]

    def save(self, path: str | Path) -> Path:
        """Write an .npz file with `names`, `lengths` and `vectors`.

        With pool "none" the vectors of all bases lie one sequence after another: (sum of lengths, D).

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        import os

        target = Path(path)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp.npz")
        vectors = self.vectors if self.pool == "mean" else np.concatenate(list(self.vectors))
        try:
            np.savez(aside, names=np.array(self.names), lengths=np.array(self.lengths), vectors=vectors)
            os.replace(aside, target)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise UserError(f"cannot write {target}: {error.strerror or error}") from error
        return target


@dataclass(frozen=True)
class BaseBits(TableView):
    """How surprising each base of a sequence is to a masked model that sees all the others.

    Attributes:
        sequence: The bases.
        bits: -log2 p of each base: (length,) float64; nan where the base is not A, C, G or T.
        probabilities: (length, 4) over A, C, G, T.
    """

    sequence: str
    bits: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean bits per base; nan where no base is A, C, G or T."""
        known = self.bits[~np.isnan(self.bits)]
        return float(known.mean()) if len(known) else math.nan

    def table(self) -> list[dict[str, Any]]:
        """Return one row a base."""
        return [
            {"position": place, "base": base, "bits": float(bits), **dict(zip("ACGT", map(float, row), strict=True))}
            for place, (base, bits, row) in enumerate(zip(self.sequence, self.bits, self.probabilities, strict=True))
        ]

    def figure(self) -> Figure:
        """Draw the bits along the sequence."""
        from seqsuite.reports import line_figure

        return line_figure(
            {"bits": (range(len(self.bits)), list(self.bits))}, x="position", y="bits", levels={"no idea": 2.0}
        )


class GenomeModel:
    """A trained genome model with its tokenizer.

    Args:
        model: The network.
        tokenizer: Its tokenizer.
        summary: The run's summary.json, empty for a bare model folder.
    """

    def __init__(
        self, model: Caduceus, tokenizer: NucleotideTokenizer, summary: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.summary = dict(summary or {})

    def __repr__(self) -> str:
        return (
            f"GenomeModel({self.model.name or type(self.model).__name__}, {self.model.num_parameters():,} parameters)"
        )

    def to(self, device: str | torch.device) -> GenomeModel:
        """Move the model to a device; returns itself."""
        self.model.to(device)
        return self

    def embed(
        self, sequences: Sequences, *, pool: Literal["mean", "none"] = "mean", batch_tokens: int = 65536
    ) -> Embeddings:
        """Embed sequences.

        With an RC-equivariant model (PS), the mean vector is the same for a sequence and its reverse
        complement, (D,); pool "none" gives both strands' features side by side, (length, 2D), aligned
        to the given strand. Sequences are padded to the longest of their batch, which changes nothing
        with a model that masks its padding.

        Args:
            sequences: One sequence, several, or name -> sequence; upper or lower case.
            pool: "mean" over the bases, or "none".
            batch_tokens: Bases to run at once.

        Raises:
            UserError: No sequence, or an empty one.
        """
        if pool not in ("mean", "none"):
            raise unknown_name("pool", pool, ("mean", "none"))
        named = _named(sequences)
        order = sorted(range(len(named)), key=lambda i: len(named[i][1]))
        vectors: list[np.ndarray | None] = [None] * len(named)
        with evaluating(self.model) as device:
            for batch in _batches(order, [len(text) for _, text in named], batch_tokens):
                padded = self.tokenizer.encode_batch([named[i][1] for i in batch])
                ids = torch.from_numpy(padded.ids.astype(np.int64)).to(device)
                features = self.model.forward_features(ids)
                if pool == "mean":
                    rows = (
                        self.model.pool(features, seq=self.model.padding_seq(ids), pooling="mean").float().cpu().numpy()
                    )
                else:
                    rows = features.float().cpu().numpy()
                for row, index, length in zip(rows, batch, padded.lengths, strict=True):
                    left = self.tokenizer.padding_side == "left"
                    kept = row if pool == "mean" else (row[len(row) - length :] if left else row[:length])
                    vectors[index] = np.array(kept)
        done = [vector for vector in vectors if vector is not None]
        return Embeddings(
            names=tuple(name for name, _ in named),
            vectors=np.stack(done) if pool == "mean" else done,
            lengths=tuple(len(text) for _, text in named),
            pool=pool,
        )

    def bits(self, sequence: str, *, batch_tokens: int = 16384) -> BaseBits:
        """Measure how surprising each base is, masking one at a time: as many rows as bases.

        Args:
            sequence: Bases; what is not A, C, G or T stays visible and is not measured.
            batch_tokens: Bases to run at once.

        Raises:
            UserError: The sequence is empty or no DNA, or the model has no masked-language-model head.
        """
        if self.model.config.head != "masked_lm":
            raise UserError(f"bits needs a masked language model; this one has the head {self.model.config.head!r}.")
        ((_, sequence),) = _named([sequence])
        ids = self.tokenizer.encode(sequence).astype(np.int64)
        bases = torch.from_numpy(self.tokenizer.base_ids.astype(np.int64))
        probabilities = np.empty((len(ids), 4))
        rows = max(1, batch_tokens // len(ids))
        with evaluating(self.model) as device:
            for first in range(0, len(ids), rows):
                places = np.arange(first, min(first + rows, len(ids)))
                masked = np.repeat(ids[None], len(places), axis=0)
                masked[np.arange(len(places)), places] = self.tokenizer.mask_id
                logits = self.model(torch.from_numpy(masked).to(device))
                here = logits[torch.arange(len(places)), torch.from_numpy(places)][:, bases.to(logits.device)]
                probabilities[places] = here.double().softmax(-1).cpu().numpy()
        codes = self.tokenizer.base_codes[ids].astype(np.int64)
        known = codes < 4
        bits = np.full(len(ids), np.nan)
        bits[known] = -np.log2(probabilities[known, codes[known]])
        return BaseBits(sequence, bits, probabilities)


def load(source: str | Path, *, device: str = "cpu") -> GenomeModel:
    """Load a trained model.

    Args:
        source: A run folder of `seqdna pretrain`, or a model folder.
        device: Where to put it.

    Raises:
        UserError: There is no model, or it cannot be read.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"{path}: there is no such folder; give a run folder of `seqdna pretrain` or a model folder.")
    folder = path / "model" if (path / "model" / "config.json").is_file() else path
    if not (folder / "config.json").is_file():
        raise UserError(f"{path} holds no model; give a run folder of `seqdna pretrain` or a model folder.")
    model = load_model(folder)
    if not isinstance(model, Caduceus):
        raise UserError(f"{folder} holds a {type(model).__name__}, which is no genome model of seqdna.")
    settings = _json(folder / "tokenizer.json")
    tokenizer = NucleotideTokenizer() if settings is None else NucleotideTokenizer.from_dict(settings)
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return GenomeModel(model, tokenizer, _json(path / "summary.json") if folder != path else None)


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it holds no table.")
    return content


def _named(sequences: Sequences) -> list[tuple[str, str]]:
    """Return (name, sequence) pairs; refuses what the FASTA reader would refuse."""
    if isinstance(sequences, Mapping):
        given: dict[str, Any] = dict(sequences)
    else:
        several = [sequences] if isinstance(sequences, str | bytes) else sequences
        given = {f"sequence_{number}": text for number, text in enumerate(several)}
    named = []
    for name, text in given.items():
        if not isinstance(text, str | bytes):
            raise UserError(f"sequence {name!r} is a {type(text).__name__}; give a string of bases.")
        letters = text.decode("ascii", "replace") if isinstance(text, bytes) else text
        if not letters:
            raise UserError(f"sequence {name!r} is empty.")
        wrong = re.search(f"[^{NUCLEOTIDES.decode()}]", letters)
        if wrong:
            raise UserError(f"sequence {name!r}: {wrong[0]!r} at position {wrong.start()} is no nucleotide code.")
        named.append((name, letters))
    if not named:
        raise UserError("there is no sequence to embed.")
    return named


def _batches(order: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Group indices, given by ascending length, so that a padded batch holds at most `most` ids."""
    batches: list[list[int]] = [[]]
    for index in order:
        if batches[-1] and lengths[index] * (len(batches[-1]) + 1) > most:
            batches.append([])
        batches[-1].append(index)
    return batches
