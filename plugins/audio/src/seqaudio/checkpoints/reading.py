"""Reading a checkpoint of any origin: our folder, a run, a published folder or file, or a hub id.

    checkpoint = read_checkpoint("sashimi_sc09.pt", source_config="sc09.yaml")
    checkpoint.model, checkpoint.family, checkpoint.flags

A published family is known by the names of its tensors, not by what its config calls itself. What tensors cannot say
(how step sizes are stored, how samples are quantised, which sum a kernel was trained with) comes from the published
config or from the caller, and stands in `Checkpoint.notes`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from seqaudio import convert, convert_diffwave
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import DiffWave
from seqaudio.models.sashimi import Sashimi
from seqaudio.training.tasks import SETTINGS
from seqsuite.errors import UserError
from seqsuite.mixers.options import replace_config
from seqsuite.models import load_model
from seqsuite.models.create import build_model
from seqsuite.models.files import load_weights
from seqsuite.models.published import (
    fetch_published,
    find_weights,
    is_hub_id,
    own_folder,
    read_config_file,
    read_json,
    read_weights,
)

FAMILIES = ("sashimi", "diffwave_sashimi")
OPTIONS = {
    "sashimi": ("dt_transform", "quantization", "sample_rate"),
    "diffwave_sashimi": ("s4_kernel", "mel_alignment", "sample_rate"),
}
"""What each family's weights leave open; see `read_checkpoint`."""
CONFIG_FILES = ("config.json", "config.yaml", ".hydra/config.yaml")
"""Where a published config may lie beside its weights."""
_MARKS = {
    "diffwave_sashimi": re.compile(r"^(module\.)?(fc_t1\.weight$|[dcu]_layers\.\d+\.fc_t\.)"),
    "sashimi": re.compile(r"(^|\.)c_layers\.\d+\.layer\."),
}
_FLAGS = (
    *("head", "sample_rate", "bits", "quantization", "unet", "bidirectional", "norm"),
    *("audio_channels", "mel_upsample", "mel_alignment", "kernel_length", "s4_kernel", "diffusion_steps"),
)


@dataclass(frozen=True)
class Checkpoint:
    """A model, and how it was read.

    Attributes:
        source: What was read.
        family: sashimi, diffwave_sashimi, or the class of a model of ours that was not published.
        layout: "seqsuite" or "published".
        model: The network, in evaluation mode.
        settings: What our training keeps beside a model: how clips are levelled, and the window.
        notes: What was decided that the weights do not say, one sentence each.
    """

    source: str
    family: str
    layout: str
    model: SampleModel | DiffWave
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def config(self) -> Any:
        """The model's config."""
        return self.model.config

    @property
    def flags(self) -> dict[str, Any]:
        """What decides which function the weights are, of those that it has."""
        fields = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        unheard = () if fields.get("mel_upsample", True) else ("mel_upsample", "mel_alignment")
        found = {name: fields[name] for name in _FLAGS if name in fields and name not in unheard}
        if "dt_transform" in fields.get("mixer_options", {}):
            found["dt_transform"] = fields["mixer_options"]["dt_transform"]
        return found | {name: value for name, value in self.settings.items() if name == "normalize"}


def read_checkpoint(
    source: str | Path,
    *,
    file: str | None = None,
    source_config: str | Path | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    cache_dir: str | Path | None = None,
    **options: Any,
) -> Checkpoint:
    """Read an audio model of ours or a published one; nothing in it is executed.

    Args:
        source: A folder, a run folder, a weights file, or a hub id (``"owner/name"``).
        file: The weights file within a folder or repository that holds several.
        source_config: The published config, JSON or YAML, where it does not lie beside the weights.
        revision: Branch, tag or commit on the hub.
        endpoint: Address of the hub; None: HF_ENDPOINT.
        cache_dir: Where downloads are kept.
        options: Of published checkpoints, where their config does not say it or is wrong. SaShiMi: `dt_transform`
            ("exp" or "softplus") and `quantization` ("mu_law" or "linear"); DiffWave: `s4_kernel` ("exact" or
            "half_spectrum", see `DiffWaveConfig`) and `mel_alignment`; both: `sample_rate`.

    Raises:
        UserError: There is no such checkpoint, it is damaged, or it is no audio model that is known here.
    """
    path = Path(source).expanduser()
    given = {name: value for name, value in options.items() if value is not None}
    own = None if file is not None else own_folder(path)
    if own is None and is_hub_id(source):
        path = fetch_published(str(source), file=file, revision=revision, endpoint=endpoint, cache_dir=cache_dir)
        own = None if file is not None else own_folder(path)
    elif revision is not None:
        raise UserError(f"--revision belongs to a hub id; {source} is none")
    if own is not None:
        if given or source_config is not None:
            raise UserError(f"{own}: is a model of SeqSuite; its config.json says what these flags would")
        return _read_own(own, str(source))
    weights = find_weights(path, file)
    raw = _config_of(weights, source_config)
    try:
        return _build(str(source), raw, read_weights(weights), given)
    except UserError as error:
        told = str(error)
        raise UserError(told if told.startswith((str(source), str(weights))) else f"{weights}: {told}") from error


def detect(names: Iterable[str]) -> str:
    """Return the family that tensors of these names belong to.

    Raises:
        UserError: It is no audio model that is known here.
    """
    names = list(names)
    for family, mark in _MARKS.items():
        if any(mark.search(name) for name in names):
            return family
    shown = ", ".join(names[:2])
    raise UserError(
        f"is no audio model that is known here (its tensors are {shown}, ...); known: {', '.join(FAMILIES)}"
    )


def family_of(model: SampleModel | DiffWave) -> str:
    """Return the published family of a model of ours, or the name of its class."""
    if isinstance(model, DiffWave):
        return "diffwave_sashimi"
    return "sashimi" if isinstance(model, Sashimi) else type(model).__name__


def _read_own(folder: Path, source: str) -> Checkpoint:
    model = load_model(folder)
    if not isinstance(model, SampleModel | DiffWave):
        raise UserError(f"{folder}: holds a {type(model).__name__}; known are models of samples and of diffusion")
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    return Checkpoint(source, family_of(model), "seqsuite", model, settings)


def _config_of(weights: Path, given: str | Path | None) -> dict[str, Any] | None:
    """Read the published config that is named or lies beside the weights; None where there is none."""
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"--source_config {path}: there is no such file")
        return read_config_file(path)
    found = next((weights.parent / name for name in CONFIG_FILES if (weights.parent / name).is_file()), None)
    return None if found is None else read_config_file(found)


def _build(
    source: str, raw: Mapping[str, Any] | None, state: Mapping[str, Tensor], given: Mapping[str, Any]
) -> Checkpoint:
    """Translate config and tensors, and build the model that they are."""
    family = detect(state)
    for name in given:
        if name not in OPTIONS[family]:
            raise UserError(f"is a checkpoint of {family}, which has no {name}; leave --{name} away")
    try:
        if family == "sashimi":
            config, tensors, notes = _sashimi(raw, state, given)
        else:
            config, tensors, notes = _diffwave(raw, state, given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"its config cannot be read ({error}); the tensors are those of {family}") from error
    model: Any = build_model(config)
    load_weights(model, tensors, source)
    # The published SaShiMi maps the smallest and largest sample of each clip to -1 and 1.
    settings = {"normalize": "minmax"} if family == "sashimi" else {}
    return Checkpoint(source, family, "published", model.eval(), settings, tuple(notes))


def _said(raw: Mapping[str, Any] | None, name: str) -> bool:
    """Return whether a config says something, in whichever of its parts."""
    for value in (raw or {}).values():
        if isinstance(value, Mapping) and _said(value, name):
            return True
    return name in (raw or {})


def _sashimi(
    raw: Mapping[str, Any] | None, state: Mapping[str, Tensor], given: Mapping[str, Any]
) -> tuple[Any, dict[str, Tensor], list[str]]:
    config = convert.config_from_published(raw, state, dt_transform=given.get("dt_transform"))
    tensors = convert.from_published(state, config)
    dataset = (raw or {}).get("dataset")
    rate = dataset.get("sampling_rate") if isinstance(dataset, Mapping) else None
    changes = {"sample_rate": rate} if rate is not None else {}
    changes |= {name: value for name, value in given.items() if name != "dt_transform"}
    config = replace_config(config, changes, owner="the checkpoint")
    names = ("dt_transform", "quantization", "sample_rate")
    keys = ("dt_transform", "quantization", "sampling_rate")
    values = (config.mixer_options["dt_transform"], config.quantization, config.sample_rate)
    notes = [
        f"{name}={value!r} ({_origin(name in given, _said(raw, key))})"
        for name, key, value in zip(names, keys, values, strict=True)
    ]
    return config, tensors, [*notes, "normalize='minmax': the published training levels each clip by its extremes"]


def _diffwave(
    raw: Mapping[str, Any] | None, state: Mapping[str, Tensor], given: Mapping[str, Any]
) -> tuple[Any, dict[str, Tensor], list[str]]:
    if raw is None:
        raise UserError("has no config.json or config.yaml beside it; say --source_config FILE")
    config = convert_diffwave.config_from_published(raw, state)
    config = replace_config(config, given, owner="the checkpoint")
    tensors = convert_diffwave.from_published(state, config)
    origin = _origin("s4_kernel" in given, False)
    notes = [
        f"s4_kernel={config.s4_kernel!r} ({origin}); if its samples are noise, try the other one: files trained "
        "without the CUDA extension and pykeops need 'half_spectrum'",
        f"sample_rate={config.sample_rate!r} ({_origin('sample_rate' in given, _said(raw, 'sampling_rate'))})",
    ]
    if config.conditional:
        notes.append(f"mel_alignment={config.mel_alignment!r} ({_origin('mel_alignment' in given, False)})")
    return config, tensors, notes


def _origin(given: bool, said: bool) -> str:
    return "as given" if given else "as its config says" if said else "nothing in it says so; a flag overrules it"
