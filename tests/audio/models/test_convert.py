"""Published layouts: every spelling of one model gives the same model, and wrong files are told in one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from seqaudio.configs.models import SashimiConfig
from seqaudio.convert import (
    config_from_published,
    config_to_published,
    from_published,
    load_published,
    to_published,
)
from seqaudio.convert_s4 import s4_block
from seqaudio.models.sashimi import Sashimi
from seqsuite.errors import UserError
from seqsuite.mixers.s4 import S4, s4_from_published, s4_to_published

LENGTH = 40


def small(**fields) -> SashimiConfig:
    options = {"d_state": 4, "n_ssm": 2} | fields.pop("mixer_options", {})
    return SashimiConfig(**({"d_model": 8, "n_layer": 2, "pool": (4, 2), "mixer_options": options} | fields))


def build(**fields) -> Sashimi:
    torch.manual_seed(0)
    model = Sashimi(small(**fields)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def codes(length=LENGTH) -> torch.Tensor:
    return torch.randint(256, (1, length), generator=torch.Generator().manual_seed(1))


def version_3(published, *, q=False, tables=False):
    """Write S4's tensors as the generations before version 4 did."""
    old = {}
    for name, x in published.items():
        stem, _, last = name.rpartition(".")
        base = stem.replace(".layer.layer.kernel", ".layer.kernel.kernel")
        if base == stem:
            old[name.replace(".layer.layer.D", ".layer.D")] = x
        elif last == "inv_dt":
            old[f"{base}.log_dt"] = x[:, 0]
        elif last == "A_imag":
            old[f"{base}.w_imag"] = -x
        elif last == "l_kernel" and tables:
            angles = -2 * torch.pi * torch.arange(int(x) // 2 + 1) / int(x)
            old[f"{base}.omega"] = torch.stack((angles.cos(), angles.sin()), 1)
            old[f"{base}.z"] = torch.zeros_like(old[f"{base}.omega"])
        else:
            spelling = {"A_real": "log_w_real" if tables else "inv_w_real", "l_kernel": "L"}
            old[f"{base}.{spelling.get(last, last)}"] = x
    if q:
        for name in [name for name in old if name.endswith(".log_w_real")]:
            stem = name.removesuffix("log_w_real")
            old[f"{stem}w"] = torch.stack((-old.pop(name).exp(), old.pop(f"{stem}w_imag")), -1)
            old[f"{stem}Q"] = old[f"{stem}P"] * torch.tensor([1.0, -1.0])
    return old


def trained(published, *, flat=False):
    """Write the rest as the training backbones did: weight norms, wrapped norms, flat tiers, linear layers."""
    out = {}
    blocks = [int(m[1]) for name in published if (m := re.match(r"model\.u_layers\.0\.(\d+)\.", name))]
    for name, x in published.items():
        name = re.sub(r"(layers\.[\d.]+)\.norm\.", r"\1.norm.ln.", name)
        if flat and (m := re.match(r"model\.u_layers\.(\d+)\.(\d+)\.(.+)", name)):
            name = f"model.u_layers.{int(m[1]) * (max(blocks) + 1) + int(m[2])}.{m[3]}"
        if x.ndim == 3 and re.search(r"(linear|ff\.0\.0|ff\.2)\.weight", name):
            x = x[..., 0]
        if not flat and re.search(r"layers\.[\d.]+\.linear\.weight$", name):
            norm = x.norm(dim=1, keepdim=True)
            out |= {f"{name}_g": norm, f"{name}_v": 3 * x}
            continue
        out[name] = x
    return out


SPELLINGS = {
    "lightning": lambda p: p,
    "encoder_of_old": lambda p: {
        n.replace("encoder.0.", "encoder.").replace("decoder.0.", "decoder."): x for n, x in p.items()
    },
    "no_prefix": lambda p: {n.removeprefix("model."): x for n, x in p.items()},
    "parallel": lambda p: {f"module.{n}": x for n, x in p.items()},
    "counters": lambda p: p | {"val_torchmetrics.bpb.total": torch.zeros(())},
    "training": trained,
    "training_unet": lambda p: trained(p, flat=True),
    "version_3": version_3,
    "version_3_trained": lambda p: trained(version_3(p)),
    "version_2": lambda p: version_3(p, tables=True),
    "version_2_free": lambda p: version_3(p, tables=True, q=True),
}


@pytest.mark.parametrize("unet", [False, True], ids=["snet", "unet"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@torch.no_grad()
def test_every_spelling_is_the_same_model(spelling, unet):
    model = build(unet=unet)
    state = SPELLINGS[spelling](to_published(model.state_dict(), model.config, length=LENGTH))
    config = config_from_published(None, state)
    assert config == replace(model.config, mixer_options=config.mixer_options)
    again = Sashimi(config).eval()
    again.load_state_dict(from_published(state, config))
    torch.testing.assert_close(again(codes()), model(codes()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        {"ff": 0},
        {"pool": ()},
        {"pool": (3,), "expand": 1},
        {"n_layer": 1, "unet": True, "ff": 3},
        {"bits": 4},
        {"head": "none"},
        {"head": "classification", "num_classes": 5, "bidirectional": True},
        {"mixer_options": {"n_ssm": 8}},
        {"mixer_options": {"rank": 2, "dt_transform": "softplus"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("length", [0, LENGTH])
@torch.no_grad()
def test_sizes_follow_from_the_shapes(fields, length):
    model = build(**fields)
    transform = model.config.mixer_options.get("dt_transform")
    state = to_published(model.state_dict(), model.config, length=length)
    config = config_from_published({"dropout": 0.0} | config_to_published(model.config), state)
    assert config == replace(model.config, mixer_options=config.mixer_options)
    assert config.mixer_options["dt_transform"] == (transform or "exp")
    again = Sashimi(config).eval()
    again.load_state_dict(from_published(state, config))
    tokens = codes() % config.vocab_size
    torch.testing.assert_close(again(tokens), model(tokens), rtol=1e-4, atol=1e-4)


def test_export_undoes_import():
    model = build(unet=True)
    first = to_published(model.state_dict(), model.config, length=LENGTH)
    ours = from_published(first, model.config)
    second = to_published(ours, model.config, length=LENGTH)
    assert set(first) == set(second)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-5)
    lengths = {name: int(x) for name, x in first.items() if name.endswith("l_kernel")}
    assert sorted(set(lengths.values())) == [LENGTH // 8, LENGTH // 4, LENGTH]
    assert lengths["model.c_layers.0.layer.layer.kernel.l_kernel"] == LENGTH // 8


def test_gradients_flow_through_every_spelling():
    model = build()
    for spelling in ("training", "version_3_trained", "version_2_free"):
        state = SPELLINGS[spelling](to_published(dict(model.state_dict()), model.config, length=LENGTH))
        given = {n: x.clone().requires_grad_() if x.is_floating_point() else x for n, x in state.items()}
        sum(x.sum() for x in from_published(given, model.config).values()).backward()
        for name, x in given.items():
            if x.requires_grad and not name.endswith((".omega", ".z", ".Q")):
                assert x.grad is not None, name


def test_frame_norms_are_those_of_the_training_code():
    model = build(norm="frame")
    names = {"norm.m", "norm.s"}
    state = {}
    twin = build()
    for name, x in to_published(twin.state_dict(), twin.config).items():
        place = re.match(r"(model\.[cu]_layers\.[\d.]+)\.norm\.(weight|bias)", name)
        state[f"{place[1]}.norm.norm.{'s' if place[2] == 'weight' else 'm'}" if place else name] = x[:1] if place else x
    config = config_from_published(None, state)
    assert config.norm == "frame"
    ours = from_published(state, config)
    assert {n for n in model.state_dict() if n.endswith(tuple(names))} == {n for n in ours if n.endswith(tuple(names))}
    model.load_state_dict(ours)
    block, x = model.backbone.centre[0], torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    centred = x - x.mean(-1, keepdim=True) + block.norm.m
    expected = block.norm.s * centred / x.std(-1, correction=0, keepdim=True)
    torch.testing.assert_close(block.norm(x), expected)


def test_a_folder_is_loaded_with_its_config(tmp_path, caplog):
    model = build(mixer_options={"dt_transform": "softplus"})
    state = {n: x.contiguous() for n, x in to_published(model.state_dict(), model.config, length=LENGTH).items()}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model": {"n_layers": 2, "layer": {"dt_transform": "softplus"}}}))
    again = load_published(tmp_path, quantization="linear")
    assert again.config.quantization == "linear"
    assert not again.training
    torch.testing.assert_close(again(codes()), model(codes()), rtol=1e-4, atol=1e-4)
    assert "dt_transform='softplus'" in caplog.text
    fresh = load_published(tmp_path, head="classification", num_classes=3)
    assert fresh(codes()).shape == (1, 3)
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    plain = load_published(tmp_path / "a.ckpt", config={}, dt_transform="softplus")
    torch.testing.assert_close(plain(codes()), model(codes()), rtol=1e-4, atol=1e-4)


def test_files_that_do_not_fit_are_told_in_one_line(tmp_path):
    model = build()
    good = to_published(model.state_dict(), model.config, length=LENGTH)
    block = "model.c_layers.0.layer.layer"
    without = {n: x for n, x in good.items() if n != "model.c_layers.1.layer.ff.2.bias"}
    old = version_3(good, tables=True, q=True)
    untied = old | {n: 2 * x for n, x in old.items() if n.endswith(".Q")}
    oldest = good | {f"{block.removesuffix('.layer')}.kernel.krylov.w": torch.zeros(2)}
    unstable = old | {n: x.abs() for n, x in old.items() if n.endswith(".w")}
    cases = [
        (without, {}, r"lacks c_layers\.1\.layer\.ff\.2\.bias"),
        (good | {"model.extra": torch.zeros(2)}, {}, "has unknown extra"),
        (good | {f"{block}.extra": torch.zeros(2)}, {}, r"c_layers\.0\.layer: .*unknown tensors: layer\.extra"),
        ({n: x for n, x in good.items() if n != f"{block}.kernel.B"}, {}, r"lacks layer\.kernel\.B"),
        ({"a": torch.zeros(2)}, {}, "no SaShiMi"),
        (good, {"config": {"n_layers": 3}}, "config says n_layers=3, the tensors say 2"),
        (good, {"config": {"pool": [4, 4]}}, r"config says pool=\(4, 4\), the tensors say \(4, 2\)"),
        (good, {"dt_transform": "softplux"}, "dt_transform must be one of"),
        (old, {"dt_transform": "softplus"}, "step sizes are exp"),
        (untied, {}, "untied"),
        (oldest, {}, r"kernel\.krylov\.w: this S4 is that of January 2022"),
        (unstable, {}, "not stable"),
    ]
    for number, (state, options, message) in enumerate(cases):
        path = tmp_path / f"{number}.safetensors"
        save_file({n: x.contiguous() for n, x in state.items()}, path)
        with pytest.raises(UserError, match=message) as caught:
            load_published(path, **options)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value) or "dt_transform" in message


def test_a_training_config_says_the_quantisation():
    state = to_published(build().state_dict(), small())
    for theirs, ours in (("mu-law", "mu_law"), ("linear", "linear")):
        raw = {"dataset": {"quantization": theirs, "bits": 8}, "model": {"d_model": 8}}
        assert config_from_published(raw, state).quantization == ours
    with pytest.raises(UserError, match="quantization must be 'mu-law' or 'linear', not 'alaw'"):
        config_from_published({"dataset": {"quantization": "alaw"}}, state)


def test_only_the_published_architecture_has_a_published_layout():
    model = Sashimi(small(mixer="s4d", mixer_options={"n_ssm": 1}))
    with pytest.raises(UserError, match="'s4d'"):
        to_published(model.state_dict(), model.config)


def test_the_length_of_the_oldest_layers_comes_from_their_tables():
    torch.manual_seed(0)
    layer = S4(4, d_state=4, n_ssm=1)
    for length in (7, 100, 16000, 131072):
        published = {f"x.layer.{n}": x for n, x in s4_to_published(layer.state_dict(), length).items()}
        old = version_3(published, tables=True)
        if length % 2:  # the table of an odd length ends before the half turn
            assert len(old["x.layer.kernel.kernel.omega"]) == length // 2 + 1
        block = s4_block({n.removeprefix("x.layer."): x for n, x in old.items()})
        assert int(block["layer.kernel.l_kernel"]) == length
        torch.testing.assert_close(s4_from_published(block)["C"], layer.C, rtol=1e-4, atol=1e-4)
