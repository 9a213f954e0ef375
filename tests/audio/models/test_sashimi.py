"""SaShiMi and flat models over samples: sizes, views, heads, files, options, learning."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seqaudio.configs.models import SIZES, SampleLMConfig, SashimiConfig, sashimi, sashimi_unet
from seqaudio.models.sashimi import Sashimi, build_backbone
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.models.create import build_model, create_model, load_model
from seqsuite.ops import Seq

DEBUG = ("sashimi_debug", "sashimi_unet_debug", "tcn_debug")


def debug(name, **fields):
    torch.manual_seed(0)
    return build_model(replace(SIZES[name](), **fields)).eval()


def codes(*shape, seed=1, levels=256) -> torch.Tensor:
    return torch.randint(levels, shape, generator=torch.Generator().manual_seed(seed))


def in_steps(model, tokens):
    state, outputs = model.init_state(len(tokens)), []
    for token in tokens.unbind(1):
        out, state = model.step(token, state)
        outputs.append(out)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (sashimi(), 4_731_136),
        (replace(sashimi(), mixer_options={}), 5_414_656),
        (replace(sashimi_unet(), mixer_options={"n_ssm": 1}), 5_832_448),
    ],
)
def test_backbones_have_the_published_numbers_of_parameters(config, count):
    assert sum(parameter.numel() for parameter in build_backbone(config).parameters()) == count


def test_ends_have_the_published_number_of_parameters_and_the_flat_stack_as_many_in_all():
    model = build_model(sashimi())
    assert model.num_parameters() - sum(p.numel() for p in model.backbone.parameters()) == 33_024
    for flat, pooled in (("tcn", "sashimi"), ("tcn_debug", "sashimi_debug")):
        ratio = build_model(SIZES[flat]()).num_parameters() / build_model(SIZES[pooled]()).num_parameters()
        assert abs(ratio - 1) < 0.01


@pytest.mark.parametrize("unet", [False, True])
@torch.no_grad()
def test_steps_and_chunks_are_the_whole_at_depth_eight(unet):
    options = {"n_ssm": 1, "d_state": 8}
    model = debug("sashimi_debug", n_layer=8, pool=(4, 4), unet=unet, mixer_options=options)
    tokens = codes(2, 37)
    whole = model(tokens)
    assert whole.shape == (2, 37, 256)
    assert (in_steps(model, tokens) - whole).abs().max() < 1e-4
    first, state = model.prefill(tokens[:, :13])
    rest, _ = model.prefill(tokens[:, 13:], state)
    assert (torch.cat((first, rest), 1) - whole).abs().max() < 1e-4
    exact = model.double()
    assert (in_steps(exact, tokens) - exact(tokens)).abs().max() < 1e-10


@pytest.mark.parametrize("name", DEBUG)
@torch.no_grad()
def test_steps_are_the_whole_in_every_family(name):
    model, tokens = debug(name), codes(2, 19)
    assert (in_steps(model, tokens) - model(tokens)).abs().max() < 1e-4


@pytest.mark.parametrize("name", DEBUG)
@torch.no_grad()
def test_logits_do_not_depend_on_the_length_of_the_input(name):
    model, tokens = debug(name).double(), codes(1, 23)
    whole = model(tokens)
    for length in (1, 2, 7, 8, 9, 16):
        torch.testing.assert_close(model(tokens[:, :length]), whole[:, :length], rtol=0, atol=1e-10)


@pytest.mark.parametrize("mixer", ["s4d", "mamba", "s4, mamba"])
@torch.no_grad()
def test_any_mixer_goes(mixer):
    model = debug("sashimi_debug", mixer=mixer, mixer_options={})
    tokens = codes(1, 19)
    assert (in_steps(model, tokens) - model(tokens)).abs().max() < 1e-4


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "last"])
@pytest.mark.parametrize(("mixer", "both"), [("s4", True), ("s4", False), ("mamba", True)])
@torch.no_grad()
def test_classes_of_a_clip_do_not_depend_on_its_padding(pooling, mixer, both):
    fields = {"head": "classification", "num_classes": 5, "pooling": pooling, "bidirectional": both, "mixer": mixer}
    model = debug("sashimi_debug", mixer_options={}, **fields).double()
    tokens, lengths = codes(3, 21), (21, 13, 6)
    logits = model(tokens, seq=Seq.from_lengths(lengths, 21))
    assert logits.shape == (3, 5)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(logits[row : row + 1], model(tokens[row : row + 1, :length]), rtol=0, atol=1e-10)
    with pytest.raises(UserError, match="does not run sample by sample"):
        model.init_state(1)


@torch.no_grad()
def test_both_ways_sees_what_comes():
    model = debug("sashimi_debug", head="none", bidirectional=True, shift=False)
    tokens = codes(1, 16)
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % 256
    assert model(tokens).shape == (1, 16, 16)
    assert (model(tokens) - model(other))[0, 0].abs().max() > 0


@pytest.mark.parametrize("name", DEBUG)
def test_files_give_the_same_model_back(name, tmp_path):
    model = create_model(name).eval()
    model.save_pretrained(tmp_path)
    again, tokens = load_model(tmp_path), codes(1, 17)
    assert (again.config, again.name) == (model.config, name)
    assert torch.equal(again(tokens), model(tokens))


@pytest.mark.parametrize("name", DEBUG)
def test_a_debug_size_learns_in_seconds(name):
    model = debug(name).train()
    tone = (torch.sin(torch.arange(129) * 0.3) * 100 + 128).long()[None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(tone[:, :-1])[0], tone[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_state_matrices_do_not_decay():
    model = debug("sashimi_debug")
    kept = model.no_weight_decay()
    assert kept == {n for n, _ in model.named_parameters() if n.endswith(("inv_dt", "A_real", "A_imag", ".B", ".P"))}
    assert kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 0}, "bits must be 1 to 16, not 0"),
        ({"pool": (4, 0)}, r"pool\[1\] must be at least 1, not 0"),
        ({"expand": 0}, "expand must be at least 1, not 0"),
        ({"ff": -1}, "ff must be at least 0, not -1"),
        ({"n_layer": 0}, "n_layer must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"norm_epsilon": 0.0}, "norm_epsilon must be above 0"),
        ({"bidirectional": True}, "bidirectional=True would read the samples to predict"),
        ({"shift": False}, "shift=False would read the samples to predict"),
    ],
)
def test_options_out_of_range_are_one_line(fields, message):
    with pytest.raises(UserError, match=message) as caught:
        SashimiConfig(**({"d_model": 8, "n_layer": 1} | fields))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (SashimiConfig(d_model=8, n_layer=1, mixer="s5d"), UnknownNameError, "Did you mean"),
        (SashimiConfig(d_model=8, n_layer=1, mixer_options={"n_smm": 1}), UnknownNameError, "n_ssm"),
        (SashimiConfig(d_model=8, n_layer=1, mixer_options={"n_ssm": 3}), UserError, "n_ssm must divide"),
        (SashimiConfig(d_model=8, n_layer=1, mixer_options={"bidirectional": True}), UserError, "is not causal"),
        (SampleLMConfig(d_model=8, n_layer=1, mixer="lion"), UserError, "is not causal"),
    ],
)
def test_mixers_that_do_not_fit_are_one_line(config, error, message):
    with pytest.raises(error, match=message) as caught:
        build_model(config)
    assert "\n" not in str(caught.value)


def test_an_empty_row_pools_to_zeros():
    model = debug("sashimi_debug", head="classification")
    seq = Seq.from_lengths((0, 3), 3)
    for pooling in ("mean", "max", "first", "last"):
        model.config = replace(model.config, pooling=pooling)
        pooled = model.pool(torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0)), seq=seq)
        assert not pooled[0].any()
        assert pooled[1].any()
    assert isinstance(model, Sashimi)
