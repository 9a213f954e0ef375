"""Configs of the Regression Transformer and their sizes (torch-free).

Everything that a checkpoint needs beside its weights (language, vocabulary, how numbers are written) is part of the
model's config.json, so that a folder is all that a prediction needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import Activation, ModelConfig, require_positive

Language = Literal["smiles", "selfies", "selfies_v1", "protein", "reaction"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "_-_", "_+_", "_._")
"""What every vocabulary of ours begins with; published ones have an order of their own."""

DIGIT_TOKENS = tuple(f"_{digit}_{order}_" for order in range(3, -4, -1) for digit in range(10))
"""Digits of the thousands to the thousandths: `_7_-1_` is a seven behind the point."""

EXAMPLE_VOCABULARY = (
    *SPECIAL_TOKENS, *DIGIT_TOKENS, "<qed>", "<logp>", "[C]", "[=C]", "[#C]", "[N]", "[=N]", "[#N]", "[O]", "[=O]",
    "[F]", "[Cl]", "[Br]", "[S]", "[Ring1]", "[Ring2]", "[=Ring1]", "[Branch1]", "[Branch2]", "[=Branch1]",
    "[#Branch1]", "[=Branch2]", "[#Branch2]", "[C@H1]", "[C@@H1]", "[NH1]", "[P]", "[I]", "[=S]",
)  # fmt: skip
"""Stands in until training has seen its data: SELFIES of plain organic molecules."""


@dataclass(frozen=True, kw_only=True)
class RTConfig(ModelConfig):
    """A Regression Transformer (Born and Manica 2023): properties and molecule in one text, any part of it masked.

    Args:
        d_model: Width D.
        n_layer: Number of layers.
        n_head: Heads of the two-stream attention; other mixers have their own option.
        d_inner: Width of the feed-forward layers.
        activation: Of the feed-forward layers. The published models were trained with "gelu_tanh".
        dropout: On embeddings, attention weights and branches.
        layer_norm_eps: Of the layer norms.
        initializer_range: Deviation of the initial weights.
        mixer: "xlnet" is two-stream attention, its masked tokens ordered by a permutation; the name of a mixer, or a
            pattern of blocks, is a bidirectional stack of them, its masked tokens all at once.
        mixer_options: Options of that mixer; of a pattern by mixer.
        language: What the text behind the properties is written in.
        vocabulary: The tokens; a token's place is its id.
        number_formats: Of each property, by its name without brackets: the fields of its `NumberFormat`.
        encoding: What is added to the embeddings of digits: "float" their decimal value, "int" sinusoids of it.
        encoding_format: "sum" adds it to the embedding, "concat" replaces the last `encoding_dim` channels.
        encoding_dim: Channels of "concat"; "sum" takes all.
        vmax: The largest value of a property, which the encoding is scaled by; None: that of the largest digit token.
        max_length: Longest text in tokens that training and predicting take.
        metadata: Where the model comes from; is kept and not interpreted.
    """

    model: ClassVar[str] = "seqchem.models.regression_transformer:RegressionTransformer"

    d_model: int = 256
    n_layer: int = 32
    n_head: int = 16
    d_inner: int = 1024
    activation: Activation = "gelu_tanh"
    dropout: float = 0.2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    mixer: str = "xlnet"
    mixer_options: dict[str, Any] = field(default_factory=dict)
    language: Language = "selfies"
    vocabulary: tuple[str, ...] = EXAMPLE_VOCABULARY
    number_formats: dict[str, dict[str, Any]] = field(default_factory=dict)
    encoding: Literal["float", "int", "none"] = "float"
    encoding_format: Literal["sum", "concat"] = "sum"
    encoding_dim: int = 16
    vmax: float | None = 1.0
    max_length: int = 512
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "d_model", "n_layer", "n_head", "d_inner", "encoding_dim", "max_length")
        check_range(owner, {"layer_norm_eps": self.layer_norm_eps}, above=0)
        check_range(owner, {"initializer_range": self.initializer_range, "dropout": self.dropout}, least=0)
        if self.vmax is not None:
            check_range(owner, {"vmax": self.vmax}, above=0)
        if self.dropout >= 1:
            raise UserError(f"{owner}: dropout must be below 1, not {self.dropout}")
        if self.mixer == "xlnet" and self.d_model % self.n_head:
            raise UserError(f"{owner}: n_head must divide d_model, {self.d_model}, not {self.n_head}")
        self._check_encoding(owner)
        self._check_vocabulary(owner)

    def _check_encoding(self, owner: str) -> None:
        if self.encoding == "none":
            return
        summed = self.encoding_format == "sum"
        name, width = ("d_model", self.d_model) if summed else ("encoding_dim", self.encoding_dim)
        if width % 2:
            raise UserError(f"{owner}: {name} must be even for the numerical encodings, not {width}")
        if width > self.d_model:
            raise UserError(f"{owner}: encoding_dim must be at most d_model, {self.d_model}, not {width}")

    def _check_vocabulary(self, owner: str) -> None:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            twice = next(token for index, token in enumerate(self.vocabulary) if token in self.vocabulary[:index])
            raise UserError(f"{owner}: vocabulary has the token {twice!r} twice")
        for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|"):
            if token not in self.vocabulary:
                raise UserError(f"{owner}: vocabulary lacks the token {token!r}")


def rt_small() -> RTConfig:
    """The published size: 32 layers of 256 channels."""
    return RTConfig()


def rt_base() -> RTConfig:
    """A quarter of the published layers."""
    return RTConfig(n_layer=8, n_head=8, dropout=0.1)


def rt_mini() -> RTConfig:
    """Trains on a CPU in an hour or so."""
    return RTConfig(d_model=128, n_layer=4, n_head=4, d_inner=512, dropout=0.1)


def rt_debug() -> RTConfig:
    """Trains on a CPU in seconds."""
    return RTConfig(d_model=64, n_layer=2, n_head=4, d_inner=128, dropout=0.1)


SIZES: dict[str, Callable[[], RTConfig]] = {size.__name__: size for size in (rt_small, rt_base, rt_mini, rt_debug)}
"""The sizes by name; each is also an attribute of this module, as the plugin's table wants it."""
