"""The base of every model: one constructor argument, timm's face, files without pickle.

A model is ``Model(config)``; `forward_features` gives (B, L, D), `forward_head` what the head makes
of it, `forward` both. `save_pretrained` and `push_to_hub` come from `huggingface_hub`'s mixin, over
our own atomic writer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.residual import Block, ResidualStack
from seqsuite.mixers.base import Mixer, parameters_marked
from seqsuite.mixers.create import build_mixers, settled_mixer
from seqsuite.models.configs import ModelConfig
from seqsuite.models.files import write_export
from seqsuite.ops import Seq

Config = TypeVar("Config", bound=ModelConfig)


class Model(nn.Module, ModelHubMixin, library_name="seqsuite", tags=["seqsuite"]):
    """A model made from a config.

    Args:
        config: A frozen dataclass; `config.model` names the class.

    Attributes:
        config: The config.
        name: The named size it was made from, if any; goes into the export.
    """

    config: Any
    name: str | None = None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the features (B, L, D) in front of the head.

        Args:
            input_ids: (B, L) token ids.
            seq: Lengths, packing and resets; None: taken from the padding, where the model knows it.
        """
        raise NotImplementedError

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of the features.

        Args:
            features: (B, L, D), as `forward_features` returns them.
            seq: Lengths, packing and resets, for a head that looks along the sequence.

        Returns:
            For a language model logits (B, L, V).
        """
        raise NotImplementedError

    def forward(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of (B, L) token ids.

        Args:
            input_ids: (B, L) token ids.
            seq: Lengths, packing and resets; None: taken from the padding, where the model knows it.

        Returns:
            For a language model logits (B, L, V).
        """
        return self.forward_head(self.forward_features(input_ids, seq=seq), seq=seq)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that their modules ask not to decay (timm's name for it)."""
        return parameters_marked(self, "_no_weight_decay")

    def num_parameters(self) -> int:
        """Return the number of parameters, shared ones once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def save_pretrained(self, save_directory: str | Path, **hub: Any) -> str | None:  # type: ignore[override]
        """Write config.json, model.safetensors and README.md into a folder.

        Everything is written aside first: a full disk leaves an earlier export as it was.

        Args:
            save_directory: The folder; created where missing.
            hub: `push_to_hub=True`, `repo_id=` and what `push_to_hub` takes.
        """
        write_export(self, Path(save_directory))
        hub.pop("config", None)
        hub.pop("model_card_kwargs", None)
        if hub.pop("push_to_hub", False):
            return self.push_to_hub(repo_id=hub.pop("repo_id", None) or Path(save_directory).name, **hub)
        return None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Any:  # type: ignore[override]
        """Load with `seqsuite.load_model` and check that it is a model of this class.

        Args:
            pretrained_model_name_or_path: A folder, or a name on the hub.
            options: Those of `seqsuite.load_model`.

        Returns:
            The model.

        Raises:
            UserError: It cannot be read, or holds a model of another class.
        """
        from seqsuite.errors import UserError
        from seqsuite.models.create import load_model

        model = load_model(pretrained_model_name_or_path, **options)
        if not isinstance(model, cls):
            raise UserError(f"{pretrained_model_name_or_path}: holds a {type(model).__name__}, not a {cls.__name__}")
        return model


def settle_mixer(config: Config) -> Config:
    """Return the config with `mixer_options` as the mixers take them, so that an export says what was built."""
    mixer, options = settled_mixer(config.mixer, config.mixer_options)  # type: ignore[attr-defined]
    return dataclasses.replace(config, mixer=mixer, mixer_options=options)  # type: ignore[call-arg]


def mixer_stack(
    config: Any, *, wrap: Callable[[Mixer], Mixer] | None = None, block: Callable[..., Block] = Block
) -> ResidualStack:
    """Build the residual stack that a config describes; each branch starts at 1 / sqrt(n_layer) of its scale.

    Args:
        config: Has `d_model`, `n_layer`, `mixer`, `mixer_options`, `norm`, `norm_epsilon` and `residual_in_fp32`;
            `mixer` is a name, or a pattern as in `seqsuite.mixers.create`.
        wrap: What becomes of each mixer: two directions of it, say.
        block: What the blocks are; called as `Block` is.
    """
    blocks = []
    for mixer in build_mixers(config.mixer, config.n_layer, config.d_model, config.mixer_options):
        norm = create_norm(config.norm, config.d_model, config.norm_epsilon)
        blocks.append(block(mixer if wrap is None else wrap(mixer), norm, residual_in_fp32=config.residual_in_fp32))
        blocks[-1].mixer.scale_output(1 / math.sqrt(config.n_layer))
    return ResidualStack(blocks, create_norm(config.norm, config.d_model, config.norm_epsilon))


@torch.no_grad()
def init_weights(model: nn.Module, *, embedding_std: float) -> None:
    """Give a language model its initial embedding N(0, std) and zero biases of linear layers.

    Biases that a mixer marks `no_reinit` (Mamba's step sizes) keep their own initial value.
    """
    keep = parameters_marked(model, "_no_reinit")
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.bias is not None and f"{path}.bias" not in keep:
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std)


def padding_of(input_ids: Tensor, pad_token_id: int) -> Seq | None:
    """Return the `Seq` of a padded batch (B, L), or None where nothing is padded."""
    valid = input_ids != pad_token_id
    if torch.compiler.is_compiling():
        # A traced graph cannot depend on the data: the mask stays, wherever the padding may be.
        return Seq(valid, None, None)
    return None if bool(valid.all()) else Seq.from_mask(valid)
