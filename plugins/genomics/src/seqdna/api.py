"""What a notebook imports: a trained genome model, from a run or a model folder.

    import seqdna
    model = seqdna.load("runs/demo")
    vectors = model.embed({"a": "ACGTACGT", "b": "TTGACA"})
    vectors                      # a table and a picture
    model.bits("ACGTACGTTAGC")   # how surprising each base is, given all the others

Results show a table and a picture in a notebook.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqdna.checkpoints.reading import read_checkpoint
from seqdna.data.fasta import NUCLEOTIDES
from seqdna.embedding import Embedder, Embeddings, Tiling, gather, named_pieces
from seqdna.finetuning.head import FILE as HEAD
from seqdna.finetuning.head import Head, load_head
from seqdna.finetuning.predict import Predictions, predict
from seqdna.generation import Generated, Sampling, continue_prompts, infill
from seqdna.likelihood import everywhere, language_head, log_of_true
from seqdna.long_context import everywhere_long
from seqdna.models.base import DNAModel
from seqdna.saliency import Saliency, explain
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants import all_snvs, score_variants
from seqsuite.errors import UserError
from seqsuite.models.create import to_device
from seqsuite.models.published import find_weights, is_hub_id, own_folder, read_json
from seqsuite.reports import TableView, html_table
from seqsuite.reports.page import figure_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqdna.data import Genome
    from seqdna.variants import AllSnvs, VariantScores

__all__ = ["BaseBits", "Embeddings", "GenomeModel", "load"]

_log = logging.getLogger(__name__)

ONE_PIECE = 131_072
"""Bases that `GenomeModel.bits` runs at once."""

_DRAWN, _SHOWN = 2000, 500

Sequences = str | bytes | Sequence[str] | Sequence[bytes] | Mapping[str, str] | Mapping[str, bytes]


@dataclass(frozen=True)
class BaseBits(TableView):
    """How surprising each base of a sequence is to a model.

    Attributes:
        sequence: The bases.
        bits: -log2 p of each base: (length,) float64; nan where the base is not A, C, G or T,
            and at the first base for a causal model.
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
        """Draw the bits along the sequence, of a long one the means of equal stretches."""
        from seqsuite.reports import line_figure

        width = max(1, -(-len(self.bits) // _DRAWN))
        stretches = [self.bits[start : start + width] for start in range(0, len(self.bits), width)]
        means = [float(np.nanmean(part)) if not np.isnan(part).all() else math.nan for part in stretches]
        y = "bits" if width == 1 else f"bits, mean of {width} bases"
        return line_figure(
            {"bits": (range(0, len(self.bits), width), means)}, x="position", y=y, levels={"no idea": 2.0}
        )

    def _repr_html_(self) -> str:
        """Show the picture and the first rows of the table: a page of a million rows opens in no browser."""
        shown = BaseBits(self.sequence[:_SHOWN], self.bits[:_SHOWN], self.probabilities[:_SHOWN])
        caption = "" if len(self.bits) <= _SHOWN else f"the first {_SHOWN} of {len(self.bits):,} bases"
        return html_table(shown.table(), caption=caption) + figure_html(self.figure())


class GenomeModel:
    """A trained genome model with its tokenizer.

    Args:
        model: The network.
        tokenizer: Its tokenizer.
        summary: The run's summary.json, empty for a bare model folder.
        head: What the outputs of a fine-tuned model mean.
    """

    def __init__(
        self,
        model: DNAModel,
        tokenizer: NucleotideTokenizer,
        summary: Mapping[str, Any] | None = None,
        head: Head | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.summary = dict(summary or {})
        self.head = head

    def __repr__(self) -> str:
        return (
            f"GenomeModel({self.model.name or type(self.model).__name__}, {self.model.num_parameters():,} parameters)"
        )

    def to(self, device: str | torch.device) -> GenomeModel:
        """Move the model to a device; returns itself."""
        self.model.to(device)
        return self

    def embed(
        self,
        sequences: Sequences,
        *,
        layer: int = -1,
        pool: str = "mean",
        strands: str = "model",
        window: int | None = None,
        step: int | None = None,
        max_length: int = 131_072,
        batch_tokens: int = 65536,
    ) -> Embeddings:
        """Embed sequences.

        Pooled vectors of an RC-equivariant model (PS) are the same for a sequence and its reverse complement,
        and of any model with strands="both". Sequences are padded to the longest of their batch only where the
        model masks its padding, so that their company changes nothing. `seqdna.embedding.Embedder` says exactly
        what layers and strands are.

        Args:
            sequences: One sequence, several, or name -> sequence; upper or lower case.
            layer: -1, the normalised features that the heads see, or the residual stream behind block 0, 1, ...
            pool: "mean", "max", "first", "last" or "centre": (D,) a sequence; "none": (length, D), or with an
                RC-equivariant model (length, 2D): both strands' features of each base side by side.
            strands: "model": what the model reads; "both": averaged over both strands, width D with any pool.
            window: Cut longer sequences into tiles of this length, a vector each; with pool "none" the tiles are
                joined again, each base taken from the tile in which it lies deepest. 0: sequences stay whole, and
                those longer than `max_length` run chunk by chunk with their features on disk, the same vectors in
                bounded memory; layer -1 alone.
            step: From tile to tile; None: the window.
            max_length: Bases that run in one piece in memory; a longer sequence needs a window.
            batch_tokens: Bases to run at once.

        Raises:
            UserError: No sequence, an empty one, one that is too long, or an unknown pool, layer or strands.
        """
        options: dict[str, Any] = {"layer": layer, "pool": pool, "strands": strands, "batch_tokens": batch_tokens}
        embedder = Embedder(self.model, self.tokenizer, **options, in_memory=max_length if window == 0 else None)
        tiling = Tiling(window, step, max_length, every_base=pool == "none")
        pieces = named_pieces(dict(_named(sequences)), self.tokenizer, tiling)
        return gather(embedder(pieces), pool=pool, layer=layer, strands=strands)

    def bits(self, sequence: str, *, mask_stride: int | None = None, batch_tokens: int = 16384) -> BaseBits:
        """Measure how surprising each base is, given what the model sees: all the others, or those before it.

        A causal or leave-one-out model reads more than `ONE_PIECE` bases chunk by chunk, with the same result, and
        keeps what lies between its layers in the temporary folder (`seqdna.long_context`).

        Args:
            sequence: Bases; what is not A, C, G or T stays visible and is not measured.
            mask_stride: For masked models, mask every k-th base together; None masks one at a time.
            batch_tokens: Bases to run at once.

        Raises:
            UserError: The sequence is empty or no DNA, or the model is no language model.
        """
        language_head(self.model)
        ((_, sequence),) = _named([sequence])
        ids = self.tokenizer.encode(sequence)
        if len(ids) > ONE_PIECE and mask_stride is None and self.model.config.head != "masked_lm":
            logp = everywhere_long(self.model, self.tokenizer, ids).astype(np.float64)
        else:
            logp = everywhere(self.model, self.tokenizer, ids, mask_stride=mask_stride, batch_tokens=batch_tokens)
        return BaseBits(sequence, -log_of_true(logp, ids, self.tokenizer) / math.log(2), np.exp(logp))

    def generate(
        self,
        prompts: Sequences = "",
        *,
        length: int = 100,
        n: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        mode: str = "auto",
    ) -> Generated:
        """Continue prompts with a causal model; only A, C, G and T are written.

        Args:
            prompts: One prompt, several, or name -> prompt; the first base of an empty one is drawn evenly.
            length: New bases.
            n: Samples of each prompt.
            temperature: Below 1 the likely bases become likelier; 0 takes the likeliest.
            top_k: Draw from the k likeliest bases; 0 is all four.
            top_p: Draw from the likeliest bases that together reach this probability.
            seed: Seed of the draws.
            mode: "recurrent" (constant memory), "recompute", or "auto".

        Raises:
            UserError: The model is not causal or cannot run so, or an option is out of range.
        """
        sampling = Sampling(temperature, top_k, top_p)
        named = dict(_named(prompts, marks="_", empty=True))
        options: dict[str, Any] = {"length": length, "n": n, "sampling": sampling, "seed": seed, "mode": mode}
        return continue_prompts(self.model, self.tokenizer, named, **options)

    def infill(
        self,
        sequences: Sequences,
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        steps: int | None = None,
        order: str = "confident",
        sweeps: int | None = None,
    ) -> Generated:
        """Fill the bases marked ``_`` (or, where there is no ``_``, N) with a model that sees both sides.

        Args:
            sequences: One sequence, several, or name -> sequence.
            n: Samples of each sequence.
            temperature: Below 1 the likely bases become likelier; 0 takes the likeliest.
            top_k: Draw from the k likeliest bases; 0 is all four.
            top_p: Draw from the likeliest bases that together reach this probability.
            seed: Seed of the draws.
            steps: Passes in which every marked base is drawn once; None: one base a pass.
            order: Of a masked model: "confident", the bases that it is surest of first, or "random".
            sweeps: How often each base is drawn; None: 1, or 5 with a leave-one-out model.

        Raises:
            UserError: The model is causal, nothing is marked, or an option is out of range.
        """
        sampling = Sampling(temperature, top_k, top_p)
        named = dict(_named(sequences, marks="_", empty=True))
        options: dict[str, Any] = {"n": n, "sampling": sampling, "seed": seed}
        options |= {"steps": steps, "order": order, "sweeps": sweeps}
        return infill(self.model, self.tokenizer, named, **options)

    def saliency(
        self,
        sequence: str,
        *,
        method: str = "ism",
        target: int | None = None,
        position: int | None = None,
        mask_stride: int | None = None,
        strands: str = "model",
    ) -> Saliency:
        """Score every base at every position: which bases matter.

        Args:
            sequence: Bases; positions that are not A, C, G or T get no score.
            method: "ism": replace every base by every other; "gradient": gradient times input. See
                `seqdna.saliency.attribution`.
            target: Class of a classifier; None: the one it predicts.
            position: Gradient of a language model: explain its prediction of this base, 0-based; None: the middle.
            mask_stride: Mutagenesis with a masked model: mask every k-th base together; None: one at a time.
            strands: "model", or "both": the mean over the sequence and its reverse complement.

        Raises:
            UserError: The sequence is empty or no DNA, or the model or an option does not allow it.
        """
        ids = self.tokenizer.encode(self.checked(sequence))
        options: dict[str, Any] = {"target": target, "position": position, "mask_stride": mask_stride}
        return explain(self.model, self.tokenizer, ids, method=method, strands=strands, **options)

    def predict(self, sequences: Sequences, *, batch_tokens: int = 65536) -> Predictions:
        """Predict what a fine-tuned model says of sequences.

        Args:
            sequences: One sequence, several, or name -> sequence.
            batch_tokens: Bases to run at once.

        Raises:
            UserError: The model was not fine-tuned, or a sequence is empty or no DNA.
        """
        if self.head is None:
            raise UserError("this model was not fine-tuned; give a run folder of `seqdna finetune`.")
        return predict(self.model, self.tokenizer, dict(_named(sequences)), self.head, batch_tokens=batch_tokens)

    def score_variants(self, vcf: str | Path, fasta: str | Path | Genome, **options: Any) -> VariantScores:
        """Score every alternative allele of a VCF; see `seqdna.variants.score_variants`."""
        return score_variants(self, vcf, fasta, **options)

    def all_snvs(self, fasta: str | Path | Genome, out: str | Path, **options: Any) -> AllSnvs | None:
        """Score every single-nucleotide variant of a genome into a file; see `seqdna.variants.all_snvs`."""
        return all_snvs(self, fasta, out, **options)

    @staticmethod
    def checked(sequence: str) -> str:
        """Return a sequence if it is not empty and holds nucleotide codes only.

        Raises:
            UserError: It is empty, or holds something else.
        """
        ((_, text),) = _named([sequence])
        return text


def load(source: str | Path, *, device: str = "cpu", **options: Any) -> GenomeModel:
    """Load a trained model: ours, or a published checkpoint, of which a logged line says how it was read.

    Args:
        source: A run folder, a model folder, the folder or weights file of a published checkpoint, or its hub id
            (``"owner/name"``).
        device: Where to put it.
        options: Of published checkpoints, see `seqdna.checkpoints.read_checkpoint`.

    Raises:
        UserError: There is no model, or it cannot be read.
    """
    path = Path(source).expanduser()
    if not path.exists() and (not is_hub_id(source) or path.parent.is_dir()):
        raise UserError(f"{path}: there is no such folder; give a run folder or a model folder.")
    if path.is_dir() and own_folder(path) is None:
        try:
            find_weights(path)
        except UserError as error:
            raise UserError(f"{path} holds no model; give a run folder or a model folder.") from error
    checkpoint = read_checkpoint(source, **options)
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    if not isinstance(model, DNAModel):
        raise UserError(f"{source} holds a {type(model).__name__}, which is no genome model of seqdna.")
    if not isinstance(tokenizer, NucleotideTokenizer):
        raise UserError(f"{source} has a {type(tokenizer).__name__}; this takes models of single nucleotides.")
    if checkpoint.layout == "published":
        took = ", ".join(f"{name}={value!r}" for name, value in checkpoint.choices.items())
        _log.warning(
            "%s: published weights, read with %s; `seqdna import` and `seqdna.load` can overrule it", source, took
        )
    to_device(model, device)
    folder = own_folder(path)
    head = None if folder is None or not (folder / HEAD).is_file() else load_head(folder)
    summary = path / "summary.json"
    return GenomeModel(model, tokenizer, read_json(summary) if folder != path and summary.is_file() else None, head)


def _named(sequences: Sequences, *, marks: str = "", empty: bool = False) -> list[tuple[str, str]]:
    """Return (name, sequence) pairs; refuses what the FASTA reader would refuse, but for `marks` and if `empty`."""
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
        if not letters and not empty:
            raise UserError(f"sequence {name!r} is empty.")
        wrong = re.search(f"[^{NUCLEOTIDES.decode()}{marks}]", letters)
        if wrong:
            raise UserError(f"sequence {name!r}: {wrong[0]!r} at position {wrong.start()} is no nucleotide code.")
        named.append((name, letters))
    if not named:
        raise UserError("there is no sequence.")
    return named
