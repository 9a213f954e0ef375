"""Options of `seqaudio import`, `export` and `verify` (torch-free); the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """What the weights of a published model leave open.

    Args:
        file: The weights file within a folder or repository that holds several.
        source_config: The published config (JSON or YAML), where it does not lie beside the weights.
        dt_transform: SaShiMi: what makes step sizes of their parameters, where no config says it (then exp).
        quantization: SaShiMi: how samples become codes, where no config says it (then mu_law).
        sample_rate: Samples a second, where no config says it (then 16000).
        s4_kernel: DiffWave: half_spectrum for files trained with neither the CUDA extension nor pykeops; then exact.
        mel_alignment: DiffWave with a mel: which part of it a block at a lower rate sees; as_published.
        revision: Branch, tag or commit on the hub.
        json: Print JSON instead of a table.
    """

    file: str | None = None
    source_config: str | None = None
    dt_transform: Literal["exp", "softplus"] | None = None
    quantization: Literal["mu_law", "linear"] | None = None
    sample_rate: int | None = None
    s4_kernel: Literal["exact", "half_spectrum"] | None = None
    mel_alignment: Literal["as_published", "pooled"] | None = None
    revision: str | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if self.sample_rate is not None and self.sample_rate < 1:
            raise UserError(f"--sample_rate is {self.sample_rate}; it must be at least 1.")

    def reading(self) -> dict[str, str | int | None]:
        """Return the options of `seqaudio.checkpoints.read_checkpoint`."""
        names = ("file", "source_config", "dt_transform", "quantization", "sample_rate", "s4_kernel", "mel_alignment")
        return {name: getattr(self, name) for name in (*names, "revision")}


@dataclass(frozen=True, kw_only=True)
class ImportConfig(PublishedConfig):
    """Options of `seqaudio import`.

    Args:
        source: A folder, a weights file, or a hub id (owner/name) of a published SaShiMi or DiffWave-SaShiMi.
        out: The folder to write.
        overwrite: Write into a folder that holds something.
    """

    source: str = field(kw_only=False)
    out: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _need_out(self.out)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of `seqaudio export`.

    Args:
        model: A model folder or a run folder.
        out: The folder to write.
        layout: Which S4 layer is to read it: v4, or, of DiffWave alone, v3. None is that of the family's own code.
        length: Samples that every C is attuned to; 0 leaves C plain. None is the length of the training clips.
        weights: safetensors, or torch for a pickle of tensors as the published code reads it.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    model: str = field(kw_only=False)
    out: str = ""
    layout: Literal["v3", "v4"] | None = None
    length: int | None = None
    weights: Literal["safetensors", "torch"] = "safetensors"
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        _need_out(self.out)
        if self.length is not None and self.length < 0:
            raise UserError(f"--length is {self.length}; it must be at least 0.")


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(PublishedConfig):
    """Options of `seqaudio verify`.

    Args:
        checkpoint: A model folder, a run folder, a published folder or weights file, or a hub id (owner/name).
        length: Samples of the fixed input.
    """

    checkpoint: str = field(kw_only=False)
    length: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 16:
            raise UserError(f"--length is {self.length}; it must be at least 16.")


def _need_out(out: str) -> None:
    if not out:
        raise UserError("--out is missing: it names the folder to write.")
