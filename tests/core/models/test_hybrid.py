"""Stacks of several mixers by a pattern: which block has which, their options, views, exports and errors."""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import pytest
import torch
from torch import nn

import seqsuite
from seqsuite import plugins
from seqsuite.errors import UserError
from seqsuite.mixers import Mixer
from seqsuite.mixers.create import block_mixers, settled_mixer
from seqsuite.models import model_config
from seqsuite.plugins import Plugin


class SumState(NamedTuple):
    total: torch.Tensor  # (B, D)


class Total(Mixer):
    """y_t = scale * (x_1 + ... + x_t): the smallest mixer with a state that is not Mamba's."""

    def __init__(self, d_model: int, *, scale: float = 1.0) -> None:
        super().__init__(d_model)
        self.scale = scale
        self.weight = nn.Parameter(torch.ones(d_model))
        self.mark_parameters()

    def forward(self, x, *, seq=None, reverse=False):
        return self.scale * self.weight * x.cumsum(1)

    def prefill(self, x, state=None, *, seq=None):
        before = 0 if state is None else state.total[:, None]
        total = before + x.cumsum(1)
        return self.scale * self.weight * total, SumState(total[:, -1])

    def step(self, x_t, state):
        total = state.total + x_t
        return self.scale * self.weight * total, SumState(total)

    def init_state(self, batch_size, *, device, dtype, max_length=None):
        return SumState(torch.zeros(batch_size, self.d_model, device=device, dtype=dtype))


@pytest.fixture(autouse=True)
def total_is_registered(monkeypatch):
    sys.modules.setdefault("hybrid_mixers", sys.modules[__name__])
    toy = Plugin(name="toy", version="1", mixers={"total": "hybrid_mixers:Total"})
    found = plugins.discover()
    monkeypatch.setattr(plugins, "discover", lambda: {**found, "toy": toy})


def build(mixer="mamba*2, total", n_layer=4, **options):
    torch.manual_seed(0)
    return seqsuite.create_model("mamba_lm_debug", **{"mixer_options": {}, **options}, mixer=mixer, n_layer=n_layer)


def kinds(model):
    return [type(block.mixer).__name__ for block in model.backbone.layers]


@pytest.mark.parametrize(
    ("pattern", "n_layer", "expected"),
    [
        ("a*3, b", 8, "aaabaaab"),
        ("a*3,b", 6, "aaabaa"),
        ("a*3, b", 2, "aa"),
        ("b , a * 2", 5, "baaba"),
        ("a*2", 3, "aaa"),
        ("a", 2, "aa"),
        ("a, a, b", 4, "aaba"),
    ],
)
def test_a_pattern_is_repeated_or_cut(pattern, n_layer, expected):
    assert "".join(block_mixers(pattern, n_layer)) == expected


def test_blocks_follow_the_pattern_and_options_go_by_name():
    model = build(mixer_options={"mamba": {"d_state": 3}, "total": {"scale": 0.5}})
    assert kinds(model) == ["Mamba", "Mamba", "Total", "Mamba"]
    layers = model.backbone.layers
    assert [layers[index].mixer.d_state for index in (0, 1, 3)] == [3, 3, 3]
    assert layers[2].mixer.scale == 0.5


def test_whole_chunked_and_stepped_agree():
    model = build(mixer_options={"mamba": {"d_state": 3}}).double().eval()
    ids = torch.randint(0, 16, (2, 11), generator=torch.Generator().manual_seed(1))
    whole = model(ids)
    first, state = model.prefill(ids[:, :4])
    second, state = model.prefill(ids[:, 4:7], state)
    assert [type(part).__name__ for part in state] == ["MambaState", "MambaState", "SumState", "MambaState"]
    rest = []
    for token in ids[:, 7:].unbind(1):
        logits, state = model.step(token, state)
        rest.append(logits)
    torch.testing.assert_close(torch.cat((first, second, torch.stack(rest, 1)), 1), whole, rtol=1e-10, atol=1e-12)
    state, out = model.init_state(2), []
    for token in ids.unbind(1):
        logits, state = model.step(token, state)
        out.append(logits)
    torch.testing.assert_close(torch.stack(out, 1), whole, rtol=1e-10, atol=1e-12)


def test_the_export_says_what_was_built_and_loads(tmp_path):
    model = build("mamba*2 ,total", mixer_options={"mamba": {"d_state": "4"}, "total": {"scale": 2}}).eval()
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["mixer"] == "mamba*2, total"
    assert written["mixer_options"] == {"mamba": {"d_state": 4}, "total": {"scale": 2.0}}
    again = seqsuite.load_model(tmp_path)
    ids = torch.arange(10)[None]
    assert again.config == model.config
    assert torch.equal(again(ids), model(ids))


@pytest.mark.parametrize(
    ("mixer", "options", "spelt"),
    [
        (" mamba\n", {"d_state": 4}, "mamba"),
        ("mamba*1", {"mamba": {"d_state": 4}}, "mamba*1"),
        ("mamba * 9,\ttotal", {"mamba": {"d_state": 4}}, "mamba*9, total"),
    ],
)
def test_a_pattern_is_spelt_plainly_and_means_the_same_again(mixer, options, spelt, tmp_path):
    model = build(mixer, n_layer=2, mixer_options=options).eval()
    assert model.config.mixer == spelt
    assert [block.mixer.d_state for block in model.backbone.layers] == [4, 4]
    model.save_pretrained(tmp_path)
    assert seqsuite.load_model(tmp_path).config == model.config


@pytest.mark.parametrize(
    ("mixer", "options", "name"),
    [
        ("lion", {}, "lion"),
        ("bidirectional_mamba", {}, "bidirectional_mamba"),
        ("attention", {"causal": False}, "attention"),
        ("s4", {"bidirectional": True}, "s4"),
        ("mamba, s4d", {"s4d": {"bidirectional": True}}, "s4d"),
    ],
)
def test_what_sees_ahead_is_refused_in_a_causal_model(mixer, options, name):
    with pytest.raises(UserError, match=rf"^mixer '{name}' is not causal: it would read the answers"):
        build(mixer, mixer_options=options)


def test_another_mixer_does_not_inherit_the_options_of_the_size():
    assert model_config("mamba_lm_debug").mixer_options == {"d_state": 8}
    assert model_config("mamba_lm_debug", mixer="mamba").mixer_options == {"d_state": 8}
    assert model_config("mamba_lm_debug", mixer="total").mixer_options == {}
    assert model_config("mamba_lm_debug", mixer="total", mixer_options={"scale": 2}).mixer_options == {"scale": 2}


def test_a_single_mixer_keeps_flat_options_and_the_same_weights():
    """A pattern of one mixer is that mixer's stack, bit for bit; only its options are spelt by name."""
    plain = build("mamba", mixer_options={"d_state": 4})
    patterned = build("mamba*1, mamba", mixer_options={"mamba": {"d_state": 4}})
    assert plain.config.mixer_options == {"d_state": 4}
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, patterned.state_dict()[name]), name


def test_a_bidirectional_stack_takes_a_pattern():
    """What `mixer_stack` wraps around each mixer, and RC-equivariance, do not depend on which mixer it is."""
    pytest.importorskip("seqdna")
    options = {"mamba": {"d_state": 4}, "hyena": {"l_max": 32}}
    model = seqsuite.create_model("caduceus_ps_debug", mixer="mamba, hyena", mixer_options=options).eval()
    ids = torch.randint(7, 11, (1, 16), generator=torch.Generator().manual_seed(2))
    mirrored = model(model.complement[ids].flip(-1)).flip(1)[..., model.complement]
    torch.testing.assert_close(mirrored, model(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("mixer", "options", "message"),
    [
        ("mamba, totl", {}, r"Unknown mixer 'totl'. Did you mean 'total'\?"),
        ("mamba,, total", {}, r"mixer: '' is no part of a pattern"),
        ("mamba*0, total", {}, r"mixer: 'mamba\*0' is no part of a pattern"),
        ("mamba*x", {}, r"mixer: 'mamba\*x' is no part of a pattern"),
        ("mamba*-1", {}, r"mixer: 'mamba\*-1' is no part of a pattern"),
        ("*3", {}, r"mixer: '\*3' is no part of a pattern"),
        (",", {}, r"mixer: '' is no part of a pattern"),
        ("mamba*1000000", {}, r"number of blocks \(1 to 999999\)"),
        ("", {}, r"Unknown mixer ''\. Known: "),
        ("mamba*2*3", {}, r"mixer: 'mamba\*2\*3' is no part of a pattern"),
        (
            "mamba, total",
            {"mamb": {}},
            r"Unknown mixer in the options of the pattern 'mamba, total' 'mamb'. Did you me",
        ),
        ("mamba, total", {"d_state": 4}, r"'d_state'. Known: mamba, total"),
        ("mamba, total", {"mamba": 4}, r"mamba must hold the options of the mixer 'mamba', not 4"),
        ("mamba, total", {"mamba": {"dstate": 4}}, r"option of mixer 'mamba' 'dstate'. Did you mean 'd_state'\?"),
        ("mamba, total", {"total": {"scale": "x"}}, r"mixer 'total': scale must be float, not 'x'"),
    ],
)
def test_what_cannot_be_built_is_one_line(mixer, options, message):
    with pytest.raises(UserError, match=message) as caught:
        build(mixer, mixer_options=options)
    assert "\n" not in str(caught.value)


def test_options_of_a_mixer_that_was_cut_off_are_still_checked():
    with pytest.raises(UserError, match="scale must be float"):
        build("mamba*7, total", n_layer=2, mixer_options={"total": {"scale": "x"}})
    assert settled_mixer("mamba*7, total", {"total": {"scale": "3"}})[1] == {"total": {"scale": 3.0}}


def test_the_command_line_builds_a_pattern(tmp_path):
    """Nested options arrive as text, one flag each."""
    pytest.importorskip("seqdna")
    from seqdna.configs.pretrain import PretrainConfig

    flags = {"mixer": "mamba, total", "mixer_options": {"mamba": {"d_state": "4"}, "total": {"scale": "0.5"}}}
    config = PretrainConfig(model="mamba_dna_debug", model_options=flags)
    model = seqsuite.create_model(config.model, **config.model_options)
    assert kinds(model) == ["Mamba", "Total"]
    assert model.backbone.layers[1].mixer.scale == 0.5


def test_the_config_needs_no_mixer():
    assert model_config("mamba_lm_debug", mixer="mamba*3, nosuch").mixer == "mamba*3, nosuch"
