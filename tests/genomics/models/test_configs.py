from __future__ import annotations

import pytest

from seqdna.configs import CaduceusConfig
from seqsuite.errors import UserError
from seqsuite.models import create_model, list_models, model_config


def test_complement_is_padded_with_identity():
    config = CaduceusConfig(d_model=8, n_layer=1)
    assert config.padded_vocab_size == 16
    assert config.full_complement_map == (0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 0}, "d_model must be at least 1, not 0"),
        ({"swap_halves": True, "rcps": False}, "swap_halves exchanges the strands"),
        ({"complement_map": (0, 99)}, "complement_map must map ids below 16"),
        ({"vocab_size": 3, "pad_vocab_size_multiple": 1}, "complement_map must map ids below 3"),
        ({"complement_map": (0, 1, 2, 4, 5, 3)}, "must exchange tokens in pairs"),
        ({"complement_map": ()}, "must exchange tokens in pairs"),
        ({"complement_map": (1, 1)}, "must exchange tokens in pairs"),
        ({"conjoin_eval": True}, "conjoin_.* is for models that read one strand"),
        ({"padding": "maskd"}, "padding must be one of 'masked', 'as_published', not 'maskd'"),
        ({"n_layer": 2.5}, "n_layer must be int, not 2.5"),
    ],
)
def test_what_does_not_fit_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        model_config("caduceus_ps_debug", **options)


def test_complements_of_other_published_vocabularies_are_taken():
    plant = CaduceusConfig(
        d_model=8, n_layer=1, rcps=True, vocab_size=8, pad_token_id=None, complement_map=(0, 1, 2, 6, 5, 4, 3, 7)
    )
    assert plant.full_complement_map == (0, 1, 2, 6, 5, 4, 3, 7)
    assert CaduceusConfig(d_model=8, n_layer=1, complement_map=()).full_complement_map == tuple(range(16))
    for name in list_models("caduceus*"):
        assert model_config(name).padded_vocab_size == 16


def test_options_of_the_mixer_are_checked_by_name():
    with pytest.raises(UserError, match=r"Did you mean 'd_state'"):
        create_model("caduceus_ps_debug", mixer_options={"dstate": 4})
