"""GLA: the laws, the parallel form with a decay for every key, published names."""

from __future__ import annotations

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.gla import GLA
from seqsuite.testing.mixers import MIXER_LAWS


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("options", [{}, {"num_heads": 2, "expand_k": 1.0, "expand_v": 2.0, "gate_normalizer": 0.5}])
def test_laws(law, options):
    law(lambda: GLA(6, **options))


def test_it_is_gated_attention_in_its_parallel_form():
    torch.manual_seed(0)
    mixer = GLA(16, num_heads=2, gate_normalizer=2).double()
    torch.nn.init.normal_(mixer.g_norm.weight)
    x = torch.randn(2, 10, 16, dtype=torch.float64)
    q, k, v = (layer(x).unflatten(-1, (2, -1)) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    down, up = mixer.gk_proj
    decay = torch.sigmoid(x @ down.weight.T @ up.weight.T + up.bias).sqrt().unflatten(-1, (2, -1))
    total = decay.cumprod(1)
    far = (total[:, :, None] / total[:, None]) * torch.ones(10, 10).tril()[:, :, None, None]  # (B, i, j, H, K)
    scores = torch.einsum("bihk,bjhk,bijhk->bhij", q, k, far) / 2  # sqrt(K) is 2
    o = torch.einsum("bhij,bjhv->bihv", scores, v)
    o = torch.nn.functional.rms_norm(o, (8,), mixer.g_norm.weight, 1e-5).flatten(2)
    expected = mixer.o_proj(o * torch.nn.functional.silu(mixer.g_proj(x)))
    torch.testing.assert_close(mixer(x), expected, rtol=1e-9, atol=1e-11)


def test_parameters_have_the_published_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in GLA(64).named_parameters()}
    assert shapes == {
        "q_proj.weight": (32, 64),
        "k_proj.weight": (32, 64),
        "v_proj.weight": (64, 64),
        "g_proj.weight": (64, 64),
        "gk_proj.0.weight": (16, 64),
        "gk_proj.1.weight": (32, 16),
        "gk_proj.1.bias": (32,),
        "g_norm.weight": (16,),
        "o_proj.weight": (64, 64),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 8}, "num_heads must divide the width of the keys, 4, and 8 does not"),
        ({"gate_rank": 0}, "gate_rank must be at least 1, not 0"),
        ({"gate_normalizer": 0}, "gate_normalizer must be above 0, not 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'gla': {message}$"):
        GLA(8, **options)
