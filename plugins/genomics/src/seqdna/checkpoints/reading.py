"""Reading a checkpoint of any origin: our folder, a run, a published folder or file, or a hub id.

checkpoint = read_checkpoint("kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16")
checkpoint.model, checkpoint.tokenizer, checkpoint.family
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from seqdna.checkpoints.families import Family, detect, family, family_of
from seqdna.checkpoints.vocabulary import complement_of, vocabulary_of
from seqdna.configs.models import GenomeConfig
from seqdna.tokenizers import Tokenizer
from seqsuite.errors import UserError, unknown_name
from seqsuite.models import load_model
from seqsuite.models.base import Model
from seqsuite.models.create import build_model
from seqsuite.models.files import load_weights
from seqsuite.models.published import (
    fetch_published,
    find_weights,
    is_hub_id,
    own_folder,
    read_json,
    read_weights,
)


@dataclass(frozen=True)
class Checkpoint:
    """A model with the tokenizer that belongs to it.

    Attributes:
        source: What was read.
        family: caduceus, hyenadna, mamba, or the class of a model of ours that was not published.
        layout: "seqsuite" or "published".
        model: The network, in evaluation mode.
        tokenizer: Its tokenizer.
    """

    source: str
    family: str
    layout: str
    model: Model
    tokenizer: Tokenizer

    @property
    def config(self) -> GenomeConfig:
        """The model's config."""
        return self.model.config

    @property
    def flags(self) -> dict[str, Any]:
        """What decides which function the weights are: those of rcps, swap_halves, padding, ... that it has."""
        names = ("head", "rcps", "swap_halves", "bidirectional", "padding", "pad_token_id", "l_max", "shift")
        fields = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        known = fields.get("mixer_options", {}) | fields
        return {name: known[name] for name in names if name in known}

    @property
    def choices(self) -> dict[str, Any]:
        """What the weights alone do not say and a reader decides: swap_halves, shift, padding, lower case."""
        chosen = {name: self.flags[name] for name in ("swap_halves", "shift", "padding") if name in self.flags}
        if not self.config.both_strands:
            chosen.pop("swap_halves", None)
        return chosen | ({"lower": self.tokenizer.lower} if hasattr(self.tokenizer, "lower") else {})


def read_checkpoint(
    source: str | Path,
    *,
    source_config: str | Path | None = None,
    tokenizer: str | Path | None = None,
    swap_halves: bool | None = None,
    padding: Literal["as_published", "masked"] | None = None,
    l_max: int | None = None,
    shift: float | None = None,
    lower: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    cache_dir: str | Path | None = None,
) -> Checkpoint:
    """Read a genome model of ours or a published one; nothing in it is executed.

    The options belong to published checkpoints; a model of ours says all of it itself.

    Args:
        source: A folder, a run folder, a weights file, or a hub id (``"owner/name"``).
        source_config: The published config.json, where it does not lie beside the weights.
        tokenizer: A tokenizer file in place of the checkpoint's.
        swap_halves: Caduceus-PS: overrules what the config says with `fused_add_norm`.
        padding: "as_published" (None): [PAD] is a token like any other; "masked": it changes nothing.
        l_max: HyenaDNA: positions of the filter, where neither a config nor the tensors say it.
        shift: HyenaDNA: overrules the floor of the filter's fading, 0.05 where the config says none.
        lower: Overrules what the published tokenizer makes of lower case: "upper", "n" or "unk".
        revision: Branch, tag or commit on the hub.
        endpoint: Address of the hub; None: HF_ENDPOINT.
        cache_dir: Where downloads are kept.

    Raises:
        UserError: There is no such checkpoint, it is damaged, or it is no genome model.
    """
    path = Path(source).expanduser()
    own = own_folder(path)
    if own is None and is_hub_id(source):
        path = fetch_published(str(source), revision=revision, endpoint=endpoint, cache_dir=cache_dir)
        own = own_folder(path)
    elif revision is not None:
        raise UserError(f"--revision belongs to a hub id; {source} is none")
    if own is None:
        raw, state = _read_published(path, source_config, l_max)
        try:
            return _build(source, path, raw, state, tokenizer, lower, padding, swap_halves=swap_halves, shift=shift)
        except UserError as error:
            told = str(error)
            raise UserError(told if told.startswith(str(source)) else f"{source}: {told}") from error
    if any(option is not None for option in (source_config, tokenizer, swap_halves, padding, l_max, shift, lower)):
        raise UserError(f"{own}: is a model of SeqSuite; its config.json says what these flags would")
    return _read_own(own, str(source))


def _build(
    source: str | Path,
    path: Path,
    raw: Mapping[str, Any],
    state: Mapping[str, Tensor],
    tokenizer: str | Path | None,
    lower: str | None,
    padding: str | None,
    **options: Any,
) -> Checkpoint:
    """Translate config, tensors and vocabulary, and build the model that they are."""
    chosen = family(detect(state, raw))
    given = {name: value for name, value in options.items() if value is not None}
    tensors, config = _translate(chosen, raw, state, given)
    words = vocabulary_of(path if path.is_dir() else None, config, given=tokenizer, system=chosen.system)
    if lower is not None:
        words = dataclasses.replace(words, lower=lower)  # type: ignore[type-var]
    config = _settle(config, raw, words, padding or "as_published")
    rows, expected = tuple(tensors["embedding.weight"].shape), (config.padded_vocab_size, config.d_model)
    if rows != expected:  # told before a model of the wrong size is built
        raise UserError(f"does not fit its config: has wrong shapes: embedding.weight is {rows}, not {expected}")
    model = build_model(config)
    load_weights(model, tensors, source)
    return Checkpoint(str(source), chosen.name, "published", model.eval(), words)


def _read_own(folder: Path, source: str) -> Checkpoint:
    model = load_model(folder)
    config = model.config
    if not isinstance(config, GenomeConfig):
        raise UserError(
            f"{folder}: holds a {type(model).__name__}, which is no genome model of seqdna; give the folder of a run "
            "or model of seqdna, or a published genome checkpoint"
        )
    try:
        tokenizer = vocabulary_of(folder, config)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(folder)) else f"{folder}: {error}") from error
    try:
        name = family_of(config)
    except UserError:
        name = type(model).__name__
    return Checkpoint(source, name, "seqsuite", model, tokenizer)


def _read_published(
    path: Path, source_config: str | Path | None, l_max: int | None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the config (or derive it, where the tensors are HyenaDNA's) and the tensors."""
    weights = find_weights(path)
    state = read_weights(weights)
    beside = Path(source_config) if source_config is not None else weights.parent / "config.json"
    if beside.is_file():
        raw = read_json(beside)
        if l_max is not None:
            raise UserError(f"{beside}: says the model's length itself; leave --l_max away")
        return raw, state
    if source_config is not None:
        raise UserError(f"--source_config {beside}: there is no such file")
    try:
        if detect(state, {}) == "hyenadna":
            return hyena_config_of(state, l_max), state
    except UserError as error:
        raise UserError(f"{weights}: {error}") from error
    raise UserError(f"{weights}: has no config.json beside it; say --source_config FILE")


def hyena_config_of(state: Mapping[str, Tensor], l_max: int | None = None) -> dict[str, Any]:
    """Derive HyenaDNA's config.json from the shapes of its tensors.

    What shapes do not show takes the published value: order 2, filters through sines, modulated.

    Args:
        state: Tensors under their published names.
        l_max: Positions of the filter, where no `pos_emb` is stored.

    Raises:
        UserError: Tensors are missing, or l_max is neither given nor stored.
    """

    def shape(ending: str) -> tuple[int, ...] | None:
        return next((tuple(tensor.shape) for name, tensor in state.items() if name.endswith(ending)), None)

    words, fc1 = shape("embeddings.word_embeddings.weight"), shape("mlp.fc1.weight")
    filters = shape("implicit_filter.0.weight")
    layers = {int(found[1]) for name in state if (found := re.search(r"\.layers\.(\d+)\.", name))}
    if words is None or fc1 is None or filters is None:
        raise UserError("lacks tensors from which its config could be derived; say --source_config FILE")
    positions = shape("pos_emb.z") or shape("pos_emb.t")
    if positions is None and l_max is None:
        raise UserError("neither a config nor a stored pos_emb says its length; say --l_max (sequence length + 2)")
    if positions is not None and l_max is not None and positions[1] != l_max:
        raise UserError(f"--l_max is {l_max}, but the stored pos_emb has {positions[1]} positions")
    layer = {"emb_dim": filters[1], "filter_order": filters[0], "l_max": positions[1] if positions else l_max}
    return {
        "d_model": words[1],
        "n_layer": max(layers) + 1,
        "d_inner": fc1[0],
        "vocab_size": words[0],
        "pad_vocab_size_multiple": 8,
        "residual_in_fp32": True,
        "layer": layer | {"modulate": True, "w": 10, "lr_pos_emb": 0.0},
    }


def _translate(
    chosen: Family, raw: Mapping[str, Any], state: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], GenomeConfig]:
    for name in options:
        if name not in chosen.options:
            raise UserError(f"is a checkpoint of {chosen.name}, which has no {name}; leave --{name} away")
    for name in ("d_model", "n_layer", "vocab_size"):
        if name in raw and type(raw[name]) is not int:
            raise UserError(f"its config's {name} must be a whole number, not {raw[name]!r}")
    try:
        config = chosen.config_from_published(raw, state, **options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        what = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise UserError(f"its config {what}; the tensors are those of {chosen.name}") from error
    return chosen.from_published(state, config), config


def _settle(config: GenomeConfig, raw: Mapping[str, Any], words: Tokenizer, padding: str) -> GenomeConfig:
    """Give the config what the vocabulary knows, and the padding that was asked for."""
    changes: dict[str, Any] = {"padding": padding}
    if padding not in ("as_published", "masked"):
        raise unknown_name("padding", padding, ("as_published", "masked"))
    if config.pad_token_id is None and "[PAD]" in words.tokens:
        changes["pad_token_id"] = words.pad_id
    if not config.both_strands and not raw.get("complement_map"):
        changes["complement_map"] = complement_of(words)
    if padding == "masked" and changes.get("pad_token_id", config.pad_token_id) is None:
        raise UserError("has no [PAD] token that --padding masked could mask")
    return dataclasses.replace(config, **changes)
