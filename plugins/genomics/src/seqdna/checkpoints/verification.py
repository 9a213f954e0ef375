"""What a checkpoint is, measured: its flags, a checksum of its tensors, and the laws that it must obey.

    verify_checkpoint("models/caduceus-ps")     # a table in a notebook
    verify_checkpoint(...).passed

The input is always the same: pseudo-random bases under a fixed seed. Laws of the architecture (equivariance
on the reverse complement, causality, masked padding) are checked; what is a property of the weights, or
no law of this model, is measured and told.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqdna.checkpoints.reading import Checkpoint, read_checkpoint
from seqdna.models.base import longest_input
from seqdna.tokenizers import NucleotideTokenizer, Tokenizer
from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.models.checks import LIMITS, Check, checksum, difference, fact_rows, not_finite
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEED, PADS = 20240926, 16


@dataclass(frozen=True)
class Verification(TableView):
    """What was found.

    Attributes:
        source: What was read.
        family: caduceus, hyenadna, mamba, or the class of a model of ours.
        layout: "seqsuite" or "published".
        parameters: Number of parameters, shared ones once.
        length: Bases of the fixed input.
        flags: What decides which function the weights are.
        tokens: The vocabulary.
        checksum: SHA-256 over the sorted names and bytes of the tensors, under our names.
        checks: The measured numbers.
        entropy: Entropy over the bases at each position, in bits: (length,); empty without such a head.
    """

    source: str
    family: str
    layout: str
    parameters: int
    length: int
    flags: dict[str, Any]
    tokens: tuple[str, ...] = field(repr=False)
    checksum: str = field(repr=False)
    checks: tuple[Check, ...] = field(repr=False)
    entropy: np.ndarray = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a fact or check."""
        facts = {"family": self.family, "layout": self.layout, "parameters": f"{self.parameters:,}", **self.flags}
        facts |= {"vocabulary": " ".join(self.tokens), "tensors (sha256)": self.checksum}
        return fact_rows(facts) + [check.row() for check in self.checks]

    def figure(self) -> Figure | None:
        """Draw the entropy along the fixed input; None without a head over bases."""
        from seqsuite.reports import line_figure

        if not len(self.entropy):
            return None
        curve = (range(len(self.entropy)), list(self.entropy))
        return line_figure({"entropy": curve}, x="position", y="bits")

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the entropy of each position, ready for JSON."""
        facts = ("source", "family", "layout", "parameters", "length", "flags", "tokens", "checksum", "passed")
        return {name: getattr(self, name) for name in facts} | {"checks": [check.to_dict() for check in self.checks]}


def verify_checkpoint(source: str | Path, *, length: int = 1024, **options: Any) -> Verification:
    """Load a checkpoint, run a fixed input and measure what it is.

    Args:
        source: A folder, a run folder, a weights file or a hub id.
        length: Bases of the fixed input; a model of bounded length takes fewer.
        options: See `read_checkpoint`.

    Raises:
        UserError: It cannot be read, or its vocabulary does not match it.
    """
    if length < 8:
        raise UserError(f"--length is {length}; it must be at least 8")
    checkpoint = read_checkpoint(source, **options)
    most = longest_input(checkpoint.model)
    return verify(checkpoint, length=length if most is None else min(length, most - min(PADS, most // 4)))


def verify(checkpoint: Checkpoint, *, length: int = 1024) -> Verification:
    """Measure a checkpoint that is already in memory; see `verify_checkpoint`."""
    model, words = checkpoint.model, checkpoint.tokenizer
    text = "".join("ACGT"[base] for base in np.random.default_rng(SEED).integers(0, 4, length))
    ids = torch.from_numpy(words.encode(text).astype(np.int64))[None]
    state = model.state_dict()
    checks = [Check("tensors not finite", not_finite(state.values()), 0, "values that are infinite or no number")]
    with torch.inference_mode():
        outputs = model(ids)
    checks.append(Check("outputs not finite", not_finite([outputs]), 0, "on the fixed input"))
    entropy = np.empty(0)
    if checkpoint.config.head not in ("sequence_classification", "none"):
        entropy, told = _surprise(checkpoint, ids, outputs)
        checks += told
    # In float64 rounding is out of the way.
    for dtype in (torch.float32, torch.float64):
        network = copy.deepcopy(model).to(dtype)
        with torch.inference_mode():
            given = network(ids)
        checks.append(_equivariance(checkpoint, network, ids, given))
    checks += _padding(checkpoint, network, ids, given) + _sight(checkpoint, network, ids, given)
    return Verification(
        source=checkpoint.source,
        family=checkpoint.family,
        layout=checkpoint.layout,
        parameters=model.num_parameters(),
        length=length,
        flags=checkpoint.flags,
        tokens=words.tokens,
        checksum=checksum(state),
        checks=tuple(checks),
        entropy=entropy,
    )


def _surprise(checkpoint: Checkpoint, ids: Tensor, outputs: Tensor) -> tuple[np.ndarray, list[Check]]:
    """Return the entropy over the bases at each position, and its mean and that of the bits as checks."""
    words, head = checkpoint.tokenizer, checkpoint.config.head
    bases = _bases(words)
    codes = torch.searchsorted(bases, ids[0])
    logs = outputs[0][:, bases].double().log_softmax(-1) / math.log(2)
    entropy = -(torch.exp2(logs) * logs).sum(-1)
    idea = f"{math.log2(len(bases)):g}"
    checks = [Check("mean entropy", float(entropy.mean()), None, f"bits over {len(bases)} tokens; {idea} is no idea")]
    about = f"bits a token on random bases: an honest model cannot go below {idea}"
    if head == "causal_lm":
        bits = -logs[:-1].gather(1, codes[1:, None])
    elif head == "masked_lm" and "[MASK]" in words.tokens:
        places = torch.arange(3, len(codes), 7)
        masked = ids.clone()
        masked[0, places] = words.mask_id
        with torch.inference_mode():
            hidden = checkpoint.model(masked)[0][places][:, bases].double().log_softmax(-1) / math.log(2)
        bits = -hidden.gather(1, codes[places, None])
    elif head == "leave_one_out":
        bits = -logs.gather(1, codes[:, None])
    else:
        return entropy.numpy(), checks
    return entropy.numpy(), [*checks, Check("mean bits", float(bits.mean()), None, about)]


def _bases(words: Tokenizer) -> Tensor:
    """Return the ids that stand for bases, or for words of bases, in ascending order."""
    alone = isinstance(words, NucleotideTokenizer)
    named = [number for number, token in enumerate(words.tokens) if token[0] != "[" and not (alone and token == "N")]
    return torch.tensor(named)


def _equivariance(checkpoint: Checkpoint, network: Model, ids: Tensor, given: Tensor) -> Check:
    """Compare the outputs of the reverse complement with the reverse complement of the outputs."""
    config = checkpoint.config
    table = torch.tensor(config.full_complement_map)
    with torch.inference_mode():
        other = network(table[ids].flip(1))
    if config.head == "sequence_classification":
        expected = given.flip(1) if config.classifier == "positions" else given
    elif config.head != "none":
        expected = given.flip(1)[..., table]
    else:
        expected = given.flip(1, 2) if config.both_strands else given.flip(1)
    equivariant = config.both_strands and not config.strand_specific
    law = equivariant or (config.head == "sequence_classification" and config.conjoin_eval)
    about = "on the reverse complement, of the largest output" + ("" if law else "; no law of this model")
    name = f"RC-equivariance error ({str(given.dtype).removeprefix('torch.')})"
    return Check(name, difference(expected, other), LIMITS[given.dtype] if law else None, about)


def _padding(checkpoint: Checkpoint, network: Model, ids: Tensor, given: Tensor) -> list[Check]:
    """Compare the outputs with and without padding in front or behind, as the tokenizer pads."""
    config, words = checkpoint.config, checkpoint.tokenizer
    most = longest_input(checkpoint.model)
    room = PADS if most is None else min(PADS, most - ids.shape[1])
    along = config.classifier == "positions"
    bin = config.bases_per_label if along else 1
    room -= room % bin
    if config.pad_token_id is None or room < 1 or ids.shape[1] % bin:
        return []
    pads = torch.full((1, room), config.pad_token_id)
    left = words.padding_side == "left"
    with torch.inference_mode():
        padded = network(torch.cat((pads, ids) if left else (ids, pads), 1))
    if along or config.head != "sequence_classification":
        padded = padded[:, room // bin :] if left else padded[:, : ids.shape[1] // bin]
    law = config.padding == "masked"
    about = f"change by {room} [PAD] on the {words.padding_side}" + ("" if law else "; padding is as published")
    return [Check("padding effect", difference(given, padded), LIMITS[torch.float64] if law else None, about)]


def _sight(checkpoint: Checkpoint, network: Model, ids: Tensor, given: Tensor) -> list[Check]:
    """Check that a causal model does not see the future, and a leave-one-out model not the base it predicts."""
    place = {"causal_lm": ids.shape[1] - 1, "leave_one_out": ids.shape[1] // 2}.get(checkpoint.config.head)
    if place is None:
        return []
    bases = _bases(checkpoint.tokenizer)
    changed = ids.clone()
    changed[0, place] = bases[bases != ids[0, place]][0]
    with torch.inference_mode():
        other = network(changed)
    limit = LIMITS[torch.float64]
    if checkpoint.config.head == "causal_lm":
        about = "change of earlier outputs when the last base changes"
        return [Check("causality", difference(given[:, :place], other[:, :place]), limit, about)]
    about = "change of the output of a base when the base changes"
    return [Check("leave-one-out", difference(given[:, place], other[:, place]), limit, about)]
