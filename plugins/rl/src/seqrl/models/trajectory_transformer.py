"""The Trajectory Transformer (Janner et al. 2021, https://arxiv.org/abs/2106.02039): a language model of trajectories.

    model = seqsuite.create_model("trajectory_transformer", observation_dim=17, action_dim=6)
    logits = model(tokens)                      # (B, L, N + 1): position p predicts token p + 1
    loss = trajectory_loss(logits, targets, mask, weights=dimension_weights(model.config))

Tokens come row by row, [observation, action, reward, value], each 0 .. N - 1 within its number, N being the stop
token; every sequence starts with the first number of a row. `seqrl.planning` searches with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqrl.configs.trajectory import TrajectoryTransformerConfig
from seqrl.models.trajectory_transformer_attention import ValueBlindAttention
from seqsuite.backbones.mlp_block import MLP, MLPBlock
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.residual import ResidualStack
from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer, State
from seqsuite.mixers.create import block_mixers, build_mixers
from seqsuite.mixers.options import check_arguments
from seqsuite.models.base import Model, settle_mixer
from seqsuite.ops import Seq


class TrajectoryTransformer(Model):
    """Embedding, blocks and one head a number of the row; see `TrajectoryTransformerConfig`.

    Raises:
        UserError: A mixer that is not causal, or options that it does not have.
    """

    config: TrajectoryTransformerConfig

    def __init__(self, config: TrajectoryTransformerConfig) -> None:
        if config.mixer == "attention":
            check_arguments(ValueBlindAttention, "mixer 'attention'", config.mixer_options)
        else:
            config = settle_mixer(config)
        super().__init__(config)
        width, period = config.d_model, config.transition_dim
        self.embedding = nn.Embedding(config.vocab_size * period + 1, width)
        self.position = nn.Parameter(torch.zeros(config.block_size, width))
        blocks = [
            MLPBlock(
                mixer,
                create_norm("layer", width, config.norm_epsilon),
                create_norm("layer", width, config.norm_epsilon),
                MLP(width, 4 * width, activation="gelu"),
                dropout=config.resid_pdrop,
            )
            for mixer in self._mixers()
        ]
        self.backbone = ResidualStack(blocks, create_norm("layer", width, config.norm_epsilon))
        self.head = nn.Parameter(torch.empty(period, config.vocab_size + 1, width))
        self._draw(blocks)

    def _mixers(self) -> Iterator[Mixer]:
        config = self.config
        if config.mixer == "attention":
            for _ in range(config.n_layer):
                yield ValueBlindAttention(config.d_model, config.transition_dim, config.n_head, config.attn_pdrop)
            return
        names = block_mixers(config.mixer, config.n_layer)
        mixers = build_mixers(config.mixer, config.n_layer, config.d_model, config.mixer_options)
        for name, mixer in zip(names, mixers, strict=True):
            if not mixer.causal:
                raise UserError(f"mixer {name!r} is not causal: it would read the answers; choose another")
            mixer.scale_output(1 / math.sqrt(2 * config.n_layer))
            yield mixer

    @torch.no_grad()
    def _draw(self, blocks: Sequence[MLPBlock]) -> None:
        """Give the published layers their initial distribution; other mixers keep their own."""
        std = self.config.initializer_range
        nn.init.normal_(self.embedding.weight, std=std)
        nn.init.kaiming_uniform_(self.head, a=math.sqrt(5))
        for block in blocks:
            parts = [block.mlp, block.mixer] if isinstance(block.mixer, ValueBlindAttention) else [block.mlp]
            for layer in (layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)):
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    @property
    def value_blind(self) -> bool:
        """Whether the mixer itself passes over value tokens; otherwise their embeddings are zero."""
        return self.config.mixer == "attention"

    def no_weight_decay(self) -> set[str]:
        """Return the names of biases, norms, embeddings, positions, and what a mixer asks not to decay."""
        small = {name for name, parameter in self.named_parameters() if parameter.ndim < 2}
        return super().no_weight_decay() | small | {"embedding.weight", "position"}

    def embed(self, tokens: Tensor, first: int = 0, *, dim: int = 0) -> Tensor:
        """Return the embeddings (B, L, D) of tokens in front of the first block.

        Args:
            tokens: (B, L), each 0 .. N.
            first: Position of the first one in the block.
            dim: Number of the row that the first one stands for.
        """
        config = self.config
        period, bins, length = config.transition_dim, config.vocab_size, tokens.shape[1]
        dims = (torch.arange(length, device=tokens.device) + dim) % period
        words = self.embedding(torch.where(tokens == bins, bins * period, tokens + bins * dims))
        if not self.value_blind:
            words = words.masked_fill((dims == period - 1)[:, None], 0)
        return F.dropout(words + self.position[first : first + length], config.embd_pdrop, self.training)

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the normalised features (B, L, D).

        Args:
            input_ids: (B, L) tokens 0 .. N, from the first number of a row on; L at most the block.
            seq: None: rows are neither padded nor packed.

        Raises:
            ValueError: Shapes or tokens do not fit.
        """
        config = self.config
        if input_ids.ndim != 2 or not 1 <= input_ids.shape[1] <= config.block_size:
            shape = tuple(input_ids.shape)
            raise ValueError(f"input_ids must be (B, L) with L from 1 to the block, {config.block_size}, got {shape}")
        if input_ids.device.type == "cpu" and input_ids.numel():
            least, most = int(input_ids.min()), int(input_ids.max())
            if least < 0 or most > config.vocab_size:
                raise ValueError(f"input_ids must be tokens from 0 to {config.vocab_size}, got {least} to {most}")
        return self.backbone(self.embed(input_ids), seq=seq)

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return logits (B, L, N + 1): position p has the head p mod T, and predicts number p + 1 mod T."""
        batch, length, width = features.shape
        period = len(self.head)
        rows = F.pad(features, (0, 0, 0, -length % period)).unflatten(1, (-1, period))  # (B, n, T, D)
        stacked = rows.movedim(2, 0).reshape(period, -1, width)
        logits = torch.bmm(stacked, self.head.transpose(1, 2)).unflatten(1, (batch, -1))  # (T, B, n, N + 1)
        return logits.movedim(0, 2).flatten(1, 2)[:, :length]

    @property
    def recurrent(self) -> bool:
        """Whether the mixers have a state of constant size, so that `prefill` can be called."""
        return all(block.recurrent for block in self.backbone.layers)

    def prefill(
        self, tokens: Tensor, state: Sequence[State] | None, *, position: int, dim: int
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Continue with a chunk of tokens, where the mixers are recurrent.

        Args:
            tokens: (B, L).
            state: One of each block; None: the start.
            position: Position of the first token in the block.
            dim: Number of the row that the first token stands for.

        Returns:
            The features (B, L, D) in front of the head, and the state behind the chunk.
        """
        return self.backbone.prefill(self.embed(tokens, position, dim=dim), state)


def dimension_weights(config: TrajectoryTransformerConfig) -> tuple[float, ...]:
    """Return the loss's weight of each number of a row: observation 1, action, reward and value as configured."""
    actions = (config.action_weight,) * config.action_dim
    return (1.0,) * config.observation_dim + actions + (config.reward_weight, config.value_weight)


def trajectory_loss(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, *, weights: Sequence[float] | Tensor
) -> Tensor:
    """Return the weighted cross entropy in nats: its mean over all B L tokens, those left out counted as zero.

    Args:
        logits: (B, L, N + 1) for sequences that start with the first number of a row.
        targets: (B, L): at p the token at p + 1, stop tokens among them.
        mask: (B, L) of the inputs: 0 where a token does not count; None: all do.
        weights: (T,) of the number that is predicted, as `dimension_weights` gives them.
    """
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    scale = torch.as_tensor(weights, dtype=each.dtype, device=each.device)
    place = torch.arange(1, targets.shape[1] + 1, device=each.device) % len(scale)
    each = each * scale[place]
    return (each if mask is None else each * mask).mean()
