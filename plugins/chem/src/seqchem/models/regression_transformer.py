"""The Regression Transformer (Born and Manica 2023): one model that predicts properties and writes molecules.

    model = seqsuite.create_model("rt_mini", vocabulary=vocabulary, language="selfies")
    logits = model(input_ids, perm_mask=perm_mask, positions=positions)     # (B, P, V) at the masked positions

https://doi.org/10.1038/s42256-023-00639-z. A text such as ``<qed>0.727|[C][C][O]`` holds numbers digit by digit; the
values of digits are added to their embeddings. Masked numbers are predicted, masked molecules are written. The
published model is an XLNet (`model.backbone` has its state dict, name for name, and nothing is learned beside it);
`mixer` puts any bidirectional stack of the suite in its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqchem.configs.models import RTConfig
from seqchem.encodings import combine, encoding_table
from seqchem.tokenizers.properties import digit_value
from seqsuite.errors import UserError
from seqsuite.models.base import Model, settle_mixer
from seqsuite.models.configs import MixerMLMConfig, XLNetConfig
from seqsuite.models.mixer_mlm import MixerMaskedLM, two_sided
from seqsuite.models.xlnet import XLNetLM
from seqsuite.ops import Seq

if TYPE_CHECKING:
    from seqchem.tokenizers import NumberFormat, Tokenizer


class RegressionTransformer(Model):
    """Embeddings with numerical encodings over a two-stream or a masked backbone; see `RTConfig`.

    Attributes:
        backbone: An `XLNetLM`, or a `MixerMaskedLM`.
        encodings: (V, E) what is added to, or replaces a part of, each token's embedding; None without encodings.
    """

    config: RTConfig
    encodings: Tensor | None

    def __init__(self, config: RTConfig) -> None:
        super().__init__(_settled(config))
        config = self.config
        for name, values in config.number_formats.items():
            _number_format(name, values)  # what is wrong there is told when the model is loaded
        self.backbone: XLNetLM | MixerMaskedLM
        self.backbone = XLNetLM(xlnet_config(config)) if self.two_stream else MixerMaskedLM(_masked_config(config))
        self.register_buffer("encodings", _encodings(config), persistent=False)
        self.pad_token_id = config.vocabulary.index("[PAD]")

    @property
    def two_stream(self) -> bool:
        """Whether masked tokens are ordered by a permutation; else they are predicted all at once."""
        return self.config.mixer == "xlnet"

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the config's language, vocabulary and number formats."""
        from seqchem.tokenizers import Tokenizer

        formats = {name: _number_format(name, values) for name, values in self.config.number_formats.items()}
        return Tokenizer(self.config.vocabulary, self.config.language, number_formats=formats)

    @property
    def word_embedding(self) -> nn.Embedding:
        """The embedding of the tokens, tied to the head."""
        return (
            self.backbone.transformer.word_embedding if isinstance(self.backbone, XLNetLM) else self.backbone.embedding
        )

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters of the backbone that should not decay."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()}

    def embed(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings (B, T, D) of token ids (B, T), digits with their values."""
        embedded = self.word_embedding(input_ids)
        if self.encodings is None:
            return embedded
        return combine(embedded, F.embedding(input_ids, self.encodings).to(embedded.dtype), self.config.encoding_format)

    def features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the features (B, T, D) of whole texts, every token known.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T), 0 at padding; None: where the id is that of padding.
        """
        embedded = self.embed(input_ids)
        mask = self._mask(input_ids, attention_mask)
        if isinstance(self.backbone, XLNetLM):
            return self.backbone.forward_features(inputs_embeds=embedded, attention_mask=mask)
        return self.backbone.forward_features(inputs_embeds=embedded, seq=_seq(mask))

    forward_features = features  # type: ignore[assignment]

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (..., V) of features (..., D)."""
        return self.backbone.forward_head(features)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        perm_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Return the logits (B, P, V) of the tokens at some positions.

        Args:
            input_ids: (B, T) token ids, `[MASK]` where a token is to be predicted.
            attention_mask: (B, T), 0 at padding; None: where the id is that of padding.
            perm_mask: (B, T, T), 1 where token i may not see token j; two-stream models only.
            positions: (B, P) positions asked for; None: all T.

        Raises:
            UserError: A permutation for a model that is not two-stream.
            ValueError: Shapes that do not fit.
        """
        embedded = self.embed(input_ids)
        mask = self._mask(input_ids, attention_mask)
        if isinstance(self.backbone, XLNetLM):
            if positions is None:
                positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand(len(input_ids), -1)
            return self.backbone(
                inputs_embeds=embedded,
                attention_mask=mask,
                perm_mask=perm_mask,
                target_positions=positions,
                with_content=False,
            ).logits
        if perm_mask is not None:
            raise UserError(f"mixer {self.config.mixer!r} predicts masked tokens all at once and takes no permutation; "
                            "leave perm_mask out, or use mixer 'xlnet'")  # fmt: skip
        features = self.backbone.forward_features(inputs_embeds=embedded, seq=_seq(mask))
        if positions is not None:
            features = features.gather(1, positions[..., None].expand(-1, -1, features.shape[2]))
        return self.backbone.forward_head(features)

    @torch.no_grad()
    def resize_vocabulary(self, tokens: Iterable[str]) -> RegressionTransformer:
        """Return a model that also knows other tokens; known ones keep their ids and everything that was learned.

        Args:
            tokens: Tokens that the vocabulary must have; those that it lacks are appended, with fresh weights.
        """
        known = self.config.vocabulary
        grown = tuple(dict.fromkeys((*known, *tokens)))
        model = RegressionTransformer(dataclasses.replace(self.config, vocabulary=grown))
        model = model.to(device=self.word_embedding.weight.device, dtype=self.word_embedding.weight.dtype)
        new = model.state_dict()
        for name, old in self.state_dict().items():
            new[name][: len(old)] = old  # the first axis of a grown tensor is the vocabulary's, of others all of it
        model.name = self.name
        return model.train(self.training)

    def _mask(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        return input_ids != self.pad_token_id if attention_mask is None else attention_mask


def _settled(config: RTConfig) -> RTConfig:
    """Return the config with the options of its mixer as they are taken, and the scale of its encoding."""
    if config.encoding == "float" and config.vmax is None:
        # Said once and for all: a vocabulary that grows must not rescale the numbers that are known.
        digits = [digit_value(token) for token in config.vocabulary]
        largest = max((pair[0] * 10.0 ** pair[1] for pair in digits if pair is not None), default=1.0)
        config = dataclasses.replace(config, vmax=largest)
    if config.mixer != "xlnet":
        config = settle_mixer(config)
        return dataclasses.replace(config, mixer_options=two_sided(config.mixer, config.mixer_options))
    if config.mixer_options:
        raise UserError(f"RTConfig: mixer 'xlnet' has no mixer_options, got {', '.join(config.mixer_options)}")
    return config


def xlnet_config(config: RTConfig) -> XLNetConfig:
    """Return the config of the XLNet in a two-stream Regression Transformer."""
    names = ("d_model", "n_layer", "n_head", "d_inner", "activation", "dropout", "layer_norm_eps", "initializer_range")
    return XLNetConfig(n_token=len(config.vocabulary), **{name: getattr(config, name) for name in names})


def _masked_config(config: RTConfig) -> MixerMLMConfig:
    names = ("d_model", "n_layer", "d_inner", "activation", "dropout", "initializer_range", "mixer", "mixer_options")
    return MixerMLMConfig(vocab_size=len(config.vocabulary), **{name: getattr(config, name) for name in names})


def _number_format(name: str, values: Mapping[str, Any]) -> NumberFormat:
    from seqchem.tokenizers import NumberFormat

    try:
        return NumberFormat.from_dict(values)
    except UserError as error:
        raise UserError(f"number_formats of {name}: {error}") from error


def _encodings(config: RTConfig) -> Tensor | None:
    """Return the table (V, E) of a config's numerical encodings."""
    width = config.d_model if config.encoding_format == "sum" else config.encoding_dim
    return encoding_table(config.encoding, config.vocabulary, width, config.vmax)


def _seq(mask: Tensor) -> Seq | None:
    """Return the `Seq` of a mask (B, T), or None where nothing is padded."""
    valid = mask != 0
    return None if bool(valid.all()) else Seq.from_mask(valid)
