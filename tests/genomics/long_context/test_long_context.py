"""A sequence in chunks gives the numbers of the sequence in one piece, for every kind of model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.likelihood import everywhere
from seqdna.long_context import everywhere_long, spill_features
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data import Spill
from seqsuite.errors import UserError

MODELS = {
    "caduceus_ps": ("caduceus_ps_debug", {}),
    "caduceus_ps exchanging halves": ("caduceus_ps_debug", {"swap_halves": True, "n_layer": 3}),
    "caduceus_ps untied": ("caduceus_ps_debug", {"bidirectional_weight_tie": False}),
    "caduceus_ps one way, exchanging": ("caduceus_ps_debug", {"bidirectional": False, "swap_halves": True}),
    "caduceus_ph": ("caduceus_ph_debug", {}),
    "caduceus_ph multiply": ("caduceus_ph_debug", {"bidirectional_strategy": "ew_multiply"}),
    "causal": ("mamba_dna_debug", {}),
    "causal, float32 stream": ("mamba_dna_debug", {"residual_in_fp32": True}),
    "leave one out": ("leave_one_out_debug", {}),
    "hyenadna": ("hyenadna_debug", {}),
    "hyenadna, untied": ("hyenadna_debug", {"tie_embeddings": False}),
    "caduceus_ph of hyenas, tied": ("caduceus_ph_debug", {"mixer": "hyena", "mixer_options": {"l_max": 256}}),
    "caduceus_ps of hyenas, tied": (
        "caduceus_ps_debug",
        {"mixer": "hyena", "mixer_options": {"l_max": 256, "order": 3}, "swap_halves": True},
    ),
    "caduceus_ph of hyenas": (
        "caduceus_ph_debug",
        {"mixer": "hyena", "mixer_options": {"l_max": 256}, "bidirectional_weight_tie": False},
    ),
}


def random_ids(length, seed=0):
    return np.random.default_rng(seed).integers(7, 11, length).astype(np.uint8)


def build(name, options, dtype=torch.float64):
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **options).to(dtype).eval()
    for parameter in model.parameters():  # no zeros and ones that would hide a mistake
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("chunk", [1, 7, 64, 500])
@pytest.mark.parametrize("kind", MODELS)
def test_chunks_equal_one_piece(kind, chunk, tmp_path):
    length = 12 if chunk == 1 else 203
    model = build(*MODELS[kind])
    ids = random_ids(length)
    given = torch.from_numpy(ids[None].astype(np.int64))
    with torch.no_grad():
        logits, features = model(given)[0], model.forward_features(given)[0]
    with spill_features(model, ids, chunk=chunk, folder=tmp_path) as spilled:
        assert spilled.length == length
        torch.testing.assert_close(spilled.logits(0, length), logits, rtol=0, atol=1e-10)
        torch.testing.assert_close(spilled.logits(3, 11), logits[3:11], rtol=0, atol=1e-10)
        torch.testing.assert_close(spilled.features(2, 9), features[2:9], rtol=0, atol=1e-10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["caduceus_ps exchanging halves", "causal", "leave one out"])
def test_float32_agrees_over_many_chunks(kind, tmp_path):
    model = build(*MODELS[kind], dtype=torch.float32)
    ids = random_ids(5000)
    with torch.no_grad():
        logits = model(torch.from_numpy(ids[None].astype(np.int64)))[0]
    with spill_features(model, ids, chunk=512, folder=tmp_path) as spilled:
        torch.testing.assert_close(spilled.logits(0, 5000), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["causal", "leave one out"])
def test_every_base_is_predicted_as_in_one_piece(kind, tmp_path):
    model, tokenizer = build(*MODELS[kind]), NucleotideTokenizer()
    ids = random_ids(150)
    whole = everywhere(model, tokenizer, ids)
    np.testing.assert_allclose(everywhere_long(model, tokenizer, ids, chunk=32, folder=tmp_path), whole, atol=1e-6)


def test_a_masked_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="masked model"):
        everywhere_long(build("caduceus_ph_debug", {}), NucleotideTokenizer(), random_ids(20), folder=tmp_path)


def test_a_full_disk_is_one_line_before_anything_is_computed(tmp_path):
    with Spill(tmp_path) as spill, pytest.raises(UserError, match=r"has no room for .* GB of activations"):
        spill(1 << 50)


def test_no_such_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot spill to"):
        Spill(tmp_path / "none")
