"""LION: the laws, full attention with the paper's mask and scaling, both directions alike."""

from __future__ import annotations

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.lion import LION
from seqsuite.testing.mixers import MIXER_LAWS, assert_close

every_decay = pytest.mark.parametrize("decay", ["lit", "fixed", "selective"])


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@every_decay
def test_laws(law, decay):
    law(lambda: LION(6, num_heads=2, decay=decay, qkv_bias=True))


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
def test_laws_of_the_defaults(law):
    law(lambda: LION(6))


def mask_of(steps: torch.Tensor) -> torch.Tensor:
    """The mask (L, L) of decays (L,), entry by entry."""
    length = len(steps)
    mask = torch.ones(length, length, dtype=steps.dtype)
    for i in range(length):
        for j in range(length):
            mask[i, j] = steps[j + 1 : i + 1].prod() if j < i else steps[i:j].prod()
    return mask


@every_decay
def test_it_is_full_attention_masked_and_scaled(decay):
    torch.manual_seed(0)
    mixer = LION(8, num_heads=2, decay=decay).double()
    x = 2 * torch.randn(2, 7, 8, dtype=torch.float64)
    q, k, v = (m.unflatten(-1, (2, 4)) for m in (x @ mixer.qkv.weight.T).split(8, -1))
    q, k = (torch.nn.functional.normalize(m * torch.sigmoid(m) + 0.5, dim=-1) for m in (q, k))
    gate = {"lit": lambda: torch.full((2, 7, 2), torch.inf), "fixed": lambda: mixer.a_i.expand(2, 7, 2)}
    steps = torch.sigmoid(gate.get(decay, lambda: mixer.a_i(x))()).double()
    expected = torch.empty(2, 7, 2, 4, dtype=torch.float64)
    for row in range(2):
        for head in range(2):
            weights = (q[row, :, head] @ k[row, :, head].T) * mask_of(steps[row, :, head])
            expected[row, :, head] = weights @ v[row, :, head] / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(mixer(x), mixer.proj(expected.flatten(2)), rtol=1e-10, atol=1e-12)


@every_decay
def test_both_directions_are_alike(decay):
    torch.manual_seed(0)
    mixer = LION(6, num_heads=2, decay=decay).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    assert_close(mixer(x.flip(1)).flip(1), mixer(x), "flip, run, flip == run")


def test_it_has_no_recurrent_form_and_says_so():
    assert not LION(6).causal
    with pytest.raises(NotImplementedError, match="LION has no recurrent form"):
        LION(6).init_state(1, device="cpu", dtype=torch.float32)


def test_fixed_decays_are_neither_decayed_nor_redrawn():
    mixer = LION(6, decay="fixed")
    assert mixer.a_i._no_weight_decay
    assert mixer.a_i._no_reinit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide d_model, 8, and 3 does not"),
        ({"num_heads": 0}, "num_heads must be at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'lion': {message}$"):
        LION(8, **options)
