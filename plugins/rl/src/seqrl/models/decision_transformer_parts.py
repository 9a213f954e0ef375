"""What Decision Transformers are made of: the tokens of steps, the order of padding, the stack of blocks.

    tokens = StepTokens(config)(states, actions, returns_to_go, timesteps, valid)      # (B, T K, D)
    features = policy_stack(config)(tokens)

Padding stands behind the valid steps here and its tokens are zero. A causal mixer then needs no mask: what is valid
sees nothing of it, exactly, and costs what an unpadded window costs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqrl.configs.models import DecisionTransformerConfig
from seqrl.models.encoders import VectorEncoder, observation_encoder
from seqsuite.backbones import MLP, MLPBlock, ResidualStack, create_norm
from seqsuite.errors import UserError
from seqsuite.mixers.attention import Attention
from seqsuite.mixers.create import build_mixers, is_pattern


class StepTokens(nn.Module):
    """Embeds steps as T tokens each: return-to-go, state, action; or state and action.

    Args:
        config: Says what the tokens are.
    """

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        width, std = config.d_model, config.initializer_range
        self.config = config
        self.embed_return = VectorEncoder(config.return_dim, width) if config.condition_on_returns else None
        self.embed_state = observation_encoder(config, width)
        self.embed_action: nn.Module = VectorEncoder(config.action_dim, width)
        if config.discrete:
            self.embed_action = nn.Embedding(config.action_dim, width)
            nn.init.normal_(self.embed_action.weight, std=std)
        if config.position == "timestep":
            self.embed_timestep = nn.Embedding(config.max_ep_len, width)
        elif config.position == "window":
            self.embed_place = nn.Parameter(torch.randn(config.context, width) * std)
        elif config.position == "global":
            self.embed_place = nn.Parameter(torch.zeros(3 * config.context + 1, width))
            self.embed_start = nn.Parameter(torch.zeros(config.max_ep_len, width))
        self.norm = create_norm("layer", width, config.norm_epsilon) if config.token_norm else None

    def forward(
        self, states: Tensor, actions: Tensor, returns_to_go: Tensor, timesteps: Tensor, valid: Tensor | None
    ) -> Tensor:
        """Embed K steps, valid ones first: (B, T K, D), zero at padding; see `DecisionTransformer.forward`."""
        embedded = [self.embed_state(states), self.embed_action(actions)]
        if self.embed_return is not None:
            embedded.insert(0, self.embed_return(returns_to_go))
        x = torch.stack(embedded, 2)  # (B, K, T, D)
        if self.config.token_tanh:
            x = x.tanh()
        x = self._placed(x, timesteps).flatten(1, 2)
        if self.norm is not None:
            x = self.norm(x)
        if valid is not None:
            x = x.masked_fill(~valid.repeat_interleave(len(embedded), 1)[..., None], 0)
        return F.dropout(x, self.config.embd_pdrop, self.training)

    def _placed(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Add what tells the tokens (B, K, T, D) their time."""
        steps, tokens = x.shape[1:3]
        position = self.config.position
        if position == "none":
            return x
        if position != "timestep" and steps > self.config.context:
            raise ValueError(f"a window has at most {self.config.context} steps (context), got {steps}")
        last = self.config.max_ep_len - 1
        if position == "timestep":
            return x + self.embed_timestep(timesteps.clamp(max=last))[:, :, None]
        if position == "window":
            return x + self.embed_place[:steps, None]
        place = self.embed_place[: steps * tokens].view(steps, tokens, -1)
        return x + (place + self.embed_start[timesteps[:, 0].clamp(max=last)][:, None, None])


def valid_steps_first(mask: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Return the order (B, K) that puts valid steps first, and which are valid in it; None where all are.

    Args:
        mask: (B, K), True where a step is real; None: everywhere.
    """
    if mask is None:
        return None
    valid = mask.bool()
    # On a GPU, or in a traced graph, looking would cost more than the order does.
    if valid.device.type == "cpu" and not torch.compiler.is_compiling() and bool(valid.all()):
        return None
    order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True)
    return order, valid.gather(1, order)


def pick(x: Tensor, order: Tensor) -> Tensor:
    """Return (B, K, ...) with the steps in an order (B, K)."""
    return x.gather(1, order.view(*order.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:]))


def policy_stack(config: DecisionTransformerConfig, attention: dict[str, Any] | None = None) -> ResidualStack:
    """Build the blocks: with attention, those of GPT-2 as published.

    Attention and MLP begin at N(0, `initializer_range`) with zero biases, other mixers as they do by themselves, at
    1 / sqrt(n_layer) of their scale.

    Args:
        config: The policy's.
        attention: Further options of the mixer "attention".

    Raises:
        UserError: A mixer sees later steps, or an option is unknown or out of its range.
    """
    defaults = {"num_heads": config.n_head, "position": "nope", "bias": True, "dropout": config.attn_pdrop}
    defaults |= attention or {}
    options = dict(config.mixer_options)
    if is_pattern(config.mixer):
        options["attention"] = defaults | options.get("attention", {})
    elif config.mixer == "attention":
        options = defaults | options
    blocks = []
    for mixer in build_mixers(config.mixer, config.n_layer, config.d_model, _known(config.mixer, options)):
        if not mixer.causal:
            raise UserError(f"{type(config).__name__}: mixer {config.mixer!r} sees later steps; a policy's must not")
        if not isinstance(mixer, Attention):
            mixer.scale_output(1 / math.sqrt(config.n_layer))
        norm1, norm2 = (create_norm("layer", config.d_model, config.norm_epsilon) for _ in range(2))
        mlp = MLP(config.d_model, config.d_inner or 4 * config.d_model, activation=config.activation)
        blocks.append(MLPBlock(mixer, norm1, norm2, mlp, dropout=config.resid_pdrop))
    stack = ResidualStack(blocks, create_norm("layer", config.d_model, config.norm_epsilon))
    _init_published(stack, config.initializer_range)
    return stack


def _known(mixer: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those of mixers that a pattern does not have."""
    if is_pattern(mixer) and "attention" not in mixer:
        options.pop("attention")
    return options


@torch.no_grad()
def _init_published(stack: nn.Module, std: float) -> None:
    for module in stack.modules():
        if isinstance(module, Attention | MLP):
            for layer in module.children():
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=std)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
