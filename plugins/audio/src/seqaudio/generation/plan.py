"""A trained SaShiMi as plain numbers, ready to be stepped: every derived quantity is computed here, once.

    plan = make_plan(model)             # None: a layer is of a kind that only the model's own `step` runs
    plan.tiers[0].up[0].decay           # (H, N) complex128

S4 keeps the modes of its own recurrence, diagonal less a low rank: the rank's inner products of a step are known at
the end of the one before, so they enter as further inputs and cost a fraction of the rest. No eigenvectors are
needed, and none are safe: at 64 states those of HiPPO's state matrix have a condition number of 2e9, far beyond what
single precision can hold. See `eigenbasis_condition`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqaudio.models.diffwave_layers import LEAST_VARIANCE, FrameNorm
from seqaudio.models.sashimi import Sashimi
from seqsuite.backbones.mlp_block import MLP
from seqsuite.backbones.unet import DownPool, PooledState, ResidualBlock, UpPool
from seqsuite.mixers._s4_block import SSMState, StateSpaceMixer
from seqsuite.mixers.base import State
from seqsuite.mixers.s5 import S5, S5State


@dataclass(frozen=True)
class Norm:
    """(x - mean + shift) / sqrt(max(variance, floor) + eps) * weight + bias, with weight and bias (D,) float32."""

    weight: Tensor
    bias: Tensor
    shift: float
    eps: float
    floor: float


@dataclass(frozen=True)
class Linear:
    """x @ weight + bias, with weight (in, out) and bias (out,) float32."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class SSMBlock:
    """An S4 or S4D layer with its norm: x_n' = decay_n x_n + drive_n . (u, feedback).

    Attributes:
        norm: In front.
        decay: (H, N) complex128.
        drive: (1 + r, H, N) complex128: of the input and of the r feedbacks.
        read: (c + r, H, N) complex128: outputs and next feedbacks are 2 Re(read . x).
        skip: (c, H) float32: D.
        activation: Behind the outputs: gelu, silu, relu or none.
        gated: The output layer ends with a gated linear unit.
        linear: The output layer, or None.
    """

    norm: Norm
    decay: Tensor
    drive: Tensor
    read: Tensor
    skip: Tensor
    activation: str
    gated: bool
    linear: Linear | None

    @property
    def rank(self) -> int:
        """Number r of feedbacks."""
        return len(self.drive) - 1


@dataclass(frozen=True)
class S5Block:
    """An S5 layer with its norm.

    Attributes:
        norm: In front.
        decay: (P,) complex128.
        read_in: (H, 2 P): real parts of the inputs to the modes, then imaginary ones.
        read_out: (2 P, H): of real parts, then of imaginary ones.
        skip: (H,) float32: D.
    """

    norm: Norm
    decay: Tensor
    read_in: Linear
    read_out: Linear
    skip: Tensor


@dataclass(frozen=True)
class FeedForwardBlock:
    """A feed-forward layer (gelu between) with its norm."""

    norm: Norm
    first: Linear
    second: Linear


BlockPlan = SSMBlock | S5Block | FeedForwardBlock


@dataclass(frozen=True)
class TierPlan:
    """One rate; pooled steps are packed step by step: (s, D) and not (D, s) as in the model.

    Attributes:
        pool: Steps joined into one.
        down: Blocks in front of the pooling.
        up: Blocks behind the unpooling.
        join: (p D, D').
        split: (D', p D).
    """

    pool: int
    down: tuple[BlockPlan, ...]
    up: tuple[BlockPlan, ...]
    join: Linear
    split: Linear


@dataclass(frozen=True)
class Plan:
    """A model: embedding (codes, D) float32, tiers from the outermost inwards, final norm and head."""

    embedding: Tensor
    tiers: tuple[TierPlan, ...]
    centre: tuple[BlockPlan, ...]
    norm: Norm
    head: Linear
    unet: bool
    widths: tuple[int, ...]


def make_plan(model: nn.Module) -> Plan | None:
    """Return the plan of a model for the next sample, or None where a layer is of another kind."""
    if not isinstance(model, Sashimi) or not model.causal or model.config.head != "next_sample":
        return None
    backbone = model.backbone
    try:
        with torch.no_grad():
            tiers = tuple(
                TierPlan(factor, _blocks(down), _blocks(up), _join(join), _split(split))
                for factor, down, up, join, split in zip(
                    backbone.pool,
                    backbone.down_blocks,
                    backbone.up_blocks,
                    backbone.down_pools,
                    backbone.up_pools,
                    strict=True,
                )
            )
            assert model.head is not None
            return Plan(
                _single(model.embedding.weight),
                tiers,
                _blocks(backbone.centre),
                _norm(backbone.norm_f),
                _linear(model.head),
                backbone.unet,
                backbone.widths,
            )
    except _Unknown:
        return None


def ssm_states(state: PooledState) -> list[Tensor | None]:
    """Return the modes in a model's state, in the order of `all_blocks`: (B, H, N, 2), of S5 (B, P, 2), or None."""
    down = [part for tier in state.tiers for part in tier.down]
    up = [part for tier in state.tiers for part in tier.up]
    return [_modes(part) for part in (*down, *state.centre, *up)]


def all_blocks(plan: Plan) -> list[BlockPlan]:
    """Return the blocks: on the way down tier by tier, those of the centre, and on the way up from the outermost."""
    down = [block for tier in plan.tiers for block in tier.down]
    return [*down, *plan.centre, *(block for tier in plan.tiers for block in tier.up)]


def eigenbasis_condition(mixer: StateSpaceMixer) -> float:
    """Return the largest condition number, over channels, of the eigenvectors of dA as a real matrix.

    Args:
        mixer: An S4 or S4D layer.
    """
    system, _ = mixer.recurrence(torch.complex128)
    vectors = torch.linalg.eig(system.matrix().detach()).eigenvectors
    return float(torch.linalg.cond(vectors).max())


class _Unknown(Exception):
    """A layer has no plan."""


def _modes(part: State) -> Tensor | None:
    return part.ssm if isinstance(part, SSMState | S5State) else None


def _single(x: Tensor) -> Tensor:
    return x.detach().float().contiguous()


def _norm(norm: nn.Module) -> Norm:
    if isinstance(norm, nn.LayerNorm):
        return Norm(_single(norm.weight), _single(norm.bias), 0.0, norm.eps, 0.0)
    if isinstance(norm, FrameNorm):
        # One scale for all channels: it is broadcast once the width is known.
        return Norm(_single(norm.s), torch.zeros_like(_single(norm.s)), float(norm.m), 0.0, LEAST_VARIANCE)
    raise _Unknown


def _spread(norm: Norm, width: int) -> Norm:
    weight, bias = (x.expand(width).contiguous() for x in (norm.weight, norm.bias))
    return Norm(weight, bias, norm.shift, norm.eps, norm.floor)


def _linear(layer: nn.Linear) -> Linear:
    weight = _single(layer.weight.T)
    return Linear(weight, weight.new_zeros(weight.shape[1]) if layer.bias is None else _single(layer.bias))


def _join(pool: nn.Module) -> Linear:
    assert isinstance(pool, DownPool)
    layer = _linear(pool.linear)
    weight = layer.weight.unflatten(0, (-1, pool.pool)).transpose(0, 1).flatten(0, 1)
    return Linear(weight.contiguous(), layer.bias)


def _split(pool: nn.Module) -> Linear:
    assert isinstance(pool, UpPool)
    layer = _linear(pool.linear)
    weight = layer.weight.unflatten(1, (-1, pool.pool)).transpose(1, 2).flatten(1)
    return Linear(weight.contiguous(), layer.bias.unflatten(0, (-1, pool.pool)).T.flatten().contiguous())


def _blocks(blocks: nn.Module) -> tuple[BlockPlan, ...]:
    assert isinstance(blocks, Iterable)
    return tuple(_block(block) for block in blocks)


def _block(block: ResidualBlock) -> BlockPlan:
    layer, norm = block.layer, _norm(block.norm)
    if isinstance(layer, MLP) and layer.activation == "gelu":
        return FeedForwardBlock(_spread(norm, layer.fc1.in_features), _linear(layer.fc1), _linear(layer.fc2))
    if isinstance(layer, StateSpaceMixer):
        return _ssm(layer, _spread(norm, layer.d_model))
    if isinstance(layer, S5):
        return _s5(layer, _spread(norm, layer.d_model))
    raise _Unknown


def _ssm(mixer: StateSpaceMixer, norm: Norm) -> SSMBlock:
    system, C = mixer.recurrence(torch.complex128)
    return SSMBlock(
        norm,
        system.decay,
        torch.cat((system.drive[None], -system.left)),
        torch.cat((C, system.right)),
        _single(mixer.D),
        mixer.activation,
        mixer.output == "glu",
        None if mixer.output_linear is None else _linear(mixer.output_linear),
    )


def _s5(mixer: S5, norm: Norm) -> S5Block:
    decay, B = mixer.discretize()
    factor = 2.0 if mixer.conj_sym else 1.0
    C = torch.view_as_complex(mixer.C.detach().double().contiguous()) * factor  # (H, P)
    read_in = torch.cat((B.real, B.imag)).T
    read_out = torch.cat((C.real, -C.imag), 1).T
    zeros = torch.zeros(read_in.shape[1], device=read_in.device), torch.zeros(mixer.d_model, device=read_in.device)
    return S5Block(
        norm,
        decay.to(torch.complex128),
        Linear(_single(read_in), zeros[0]),
        Linear(_single(read_out), zeros[1]),
        _single(mixer.D),
    )
