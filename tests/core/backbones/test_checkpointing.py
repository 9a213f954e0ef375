"""Activation checkpointing: the same numbers from blocks that run twice and keep nothing between."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import seqsuite
from seqsuite.backbones import Block, ResidualStack, RMSNorm
from seqsuite.errors import UserError
from seqsuite.mixers import create_mixer
from seqsuite.ops import Seq
from seqsuite.training import TrainConfig
from seqsuite.training.task import Task, checkpoint_activations

MODELS = ["mamba_lm_debug", "caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug", "leave_one_out_debug"]


def gradients(model: nn.Module, ids: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    model(ids).square().mean().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gradients_are_the_same_bit_for_bit(name, dtype) -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, n_layer=3).to(dtype)
    ids = torch.randint(7, 11, (2, 21), generator=torch.Generator().manual_seed(1))
    plain = gradients(model, ids)
    assert checkpoint_activations(model) == 1
    again = gradients(model, ids)
    assert len(plain) == len(again) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_blocks_run_again_only_where_there_are_gradients() -> None:
    model = seqsuite.create_model("mamba_lm_debug", n_layer=2)
    calls = []
    for layer in model.backbone.layers:
        layer.register_forward_pre_hook(lambda *_: calls.append(1))  # a second run stops once it has what it needs
    ids = torch.randint(0, 9, (1, 8))
    checkpoint_activations(model)
    with torch.no_grad():
        model(ids)
    assert len(calls) == 2
    gradients(model, ids)
    assert len(calls) == 6
    calls.clear()
    checkpoint_activations(model, on=False)
    gradients(model, ids)
    assert len(calls) == 2


def stack(dropout: float = 0.0) -> ResidualStack:
    class Dropping(Block):
        def forward(self, hidden, residual, *, seq=None):
            hidden, residual = super().forward(hidden, residual, seq=seq)
            return nn.functional.dropout(hidden, dropout, self.training), residual

    torch.manual_seed(0)
    blocks = [Dropping(create_mixer("mamba", 6, d_state=4), RMSNorm(6)) for _ in range(3)]
    return ResidualStack(blocks, RMSNorm(6))


def test_dropout_draws_the_same_twice_and_padding_is_kept() -> None:
    model, x = stack(0.5), torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0))
    seq = Seq.from_mask(torch.arange(9)[None] < torch.tensor([[9], [5]]))
    found = []
    for on in (False, True):
        model.checkpoint_activations = on
        torch.manual_seed(3)
        leaf = x.clone().requires_grad_()
        model.zero_grad()
        model(leaf, seq=seq).square().sum().backward()
        found.append([leaf.grad, *(p.grad.clone() for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_parameters_over_a_frozen_input_still_learn() -> None:
    model, x = stack(), torch.randn(1, 5, 6)
    plain = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    model.checkpoint_activations = True
    model(x).sum().backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), plain, strict=True))


def test_less_is_kept_for_the_backward_pass() -> None:
    """What autograd saves between the passes grows with the blocks by their inputs alone."""

    def kept(on: bool) -> int:
        model, saved = stack(), []
        model.checkpoint_activations = on
        x = torch.randn(1, 64, 6, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
            model(x)
        return sum(saved)

    assert kept(True) < kept(False) / 5


def test_a_model_without_blocks_says_so() -> None:
    with pytest.raises(UserError, match=r"Linear cannot checkpoint its activations.*--checkpoint_activations"):
        Task(nn.Linear(2, 2), TrainConfig(checkpoint_activations=True))
