"""RetNet: the laws, the parallel form with complex rotations, decays and initial values."""

from __future__ import annotations

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.mixers.retnet import RetNet
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS, assert_close, in_chunks


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    ("width", "options"),
    [(6, {}), (6, {"num_heads": 2, "bias": True}), (6, {"num_heads": 3, "position": "none", "norm": "rms"}), (5, {})],
)
def test_laws(law, width, options):
    law(lambda: RetNet(width, **options))


@pytest.mark.parametrize("norm", ["group", "rms"])
def test_it_is_retention_in_its_parallel_form(norm):
    torch.manual_seed(0)
    mixer = RetNet(12, num_heads=3, norm=norm).double()
    x = torch.randn(2, 11, 12, dtype=torch.float64)
    q, k, v = (layer(x).unflatten(-1, (3, -1)) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    q, k = (torch.view_as_complex(m.unflatten(-1, (2, 2)).contiguous()) for m in (q, k))  # two pairs a head
    place = torch.arange(11, dtype=torch.float64)
    turn = torch.exp(1j * place[:, None] * torch.tensor([1.0, 1e-4]))[:, None]
    scores = torch.einsum("bihp,bjhp->bhij", q * turn, (k * turn).conj()).real / 2  # sqrt(K) is 2
    gamma = 1 - 2.0 ** -torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)
    distance = place[:, None] - place
    decay = torch.where(distance >= 0, gamma[:, None, None] ** distance, 0)
    o = torch.einsum("bhij,bjhv->bihv", scores * decay, v)
    if norm == "group":
        o = torch.nn.functional.layer_norm(o, (8,))
    else:
        o = torch.nn.functional.rms_norm(o, (8,), eps=1e-5)
    expected = mixer.out_proj(torch.nn.functional.silu(mixer.g_proj(x)) * o.flatten(2))
    torch.testing.assert_close(mixer(x), expected, rtol=1e-10, atol=1e-12)


def test_rotations_do_not_lose_accuracy_far_into_a_stream():
    torch.manual_seed(0)
    mixer = RetNet(8, num_heads=1)
    x = torch.randn(1, 3000, 8)
    with torch.no_grad():
        exact = mixer.double()(x.double())
        found, _ = in_chunks(mixer.float(), x, (100,) * 30)
    assert_close(found.double(), exact, "float32 in chunks == float64", 2e-5)


def test_rotations_do_not_lose_accuracy_along_a_row():
    torch.manual_seed(0)
    mixer = RetNet(4)
    x = torch.randn(1, 80000, 4)
    with torch.no_grad():
        found = mixer(x)[:, -1000:].double()
        exact = mixer.double()(x.double())[:, -1000:]
    assert_close(found, exact, "float32 == float64 at the end of a long row", 2e-5)


def test_padding_between_steps_does_not_count_as_distance():
    torch.manual_seed(0)
    mixer = RetNet(6).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 0, 1, 0, 0, 1, 1, 0]]).bool()
    for reverse in (False, True):
        found = mixer(x, seq=Seq.from_mask(mask), reverse=reverse)
        assert_close(found[mask], mixer(x[mask][None], reverse=reverse)[0], "padded between == without")


def test_sizes_and_initial_values_are_the_published_ones():
    mixer = RetNet(512)
    assert mixer.num_heads == 2
    assert mixer.v_proj.weight.shape == (1024, 512)
    assert mixer.q_proj.weight.abs().max() <= 2**-2.5 * (6 / 1024) ** 0.5
    assert mixer.out_proj.weight.abs().max() <= 2**-1 * (6 / 1536) ** 0.5
    before = mixer.out_proj.weight.clone()
    mixer.scale_output(0.5)
    assert torch.equal(mixer.out_proj.weight, before / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads must divide d_model, 8, and 3 does not"),
        ({"num_heads": 8, "expand_v": 1.5}, "num_heads must divide the width of the values, 12, and 8 does not"),
        ({"num_heads": 0}, "num_heads must be at least 1, not 0"),
        ({"expand_v": 0}, "expand_v must be above 0, not 0"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 'retnet': {message}$"):
        RetNet(8, **options)
