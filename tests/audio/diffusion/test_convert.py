"""Published DiffWave-SaShiMi checkpoints, read and written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.convert_diffwave import config_from_published, from_published, load_published, to_published
from seqaudio.models.diffwave import DiffWave
from seqsuite.errors import UserError

PUBLISHED = {
    "_name_": "sashimi",
    "unconditional": True,
    "in_channels": 1,
    "out_channels": 1,
    "diffusion_step_embed_dim_in": 8,
    "diffusion_step_embed_dim_mid": 10,
    "diffusion_step_embed_dim_out": 12,
    "unet": True,
    "d_model": 4,
    "n_layers": 1,
    "pool": [2],
    "expand": 2,
    "ff": 2,
    "L": 16,
}
CONFIG = DiffWaveConfig(
    d_model=4, n_layer=1, pool=(2,), d_state=4, kernel_length=16, step_embed_in=8, step_embed_mid=10, step_embed_out=12
)
VOCODER = replace(CONFIG, mel_upsample=(4, 2), mel_alignment="as_published", n_mels=5)


def built(config, seed=0):
    torch.manual_seed(seed)
    model = DiffWave(config).double()
    for parameter in model.head.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def outputs(model):
    x = torch.randn(2, 16, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mel = {"mel": x[:, :15].reshape(2, 5, 3)} if model.config.conditional else {}
    return model(x, torch.tensor([0, 7]), **mel)


@pytest.mark.parametrize("layout", ["v3", "v4"])
@pytest.mark.parametrize("length", [0, 16])
@pytest.mark.parametrize(
    "config", [CONFIG, VOCODER, replace(CONFIG, n_ssm=2, unet=False)], ids=["plain", "mel", "snet"]
)
def test_what_is_written_is_read_back(layout, length, config):
    model = built(config)
    published = to_published(model.state_dict(), config, layout=layout, length=length)
    ours = from_published(published, config)
    assert set(ours) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-9, rtol=1e-9)
    tuned = published["c_layers.0.layer." + ("kernel.kernel.C" if layout == "v3" else "layer.kernel.C")]
    assert torch.equal(tuned, model.state_dict()["c_layers.0.layer.C"]) == (length == 0)


def test_the_published_names_and_shapes():
    published = to_published(built(VOCODER).state_dict(), VOCODER, length=16)
    expected = {
        "init_conv.0.conv.weight_g": (4, 1, 1),
        "init_conv.0.conv.weight_v": (4, 1, 1),
        "fc_t1.weight": (10, 8),
        "fc_t2.bias": (12,),
        "d_layers.0.norm1.m": (1,),
        "d_layers.0.fc_t.weight": (4, 12),
        "d_layers.0.layer.D": (1, 4),
        "d_layers.0.layer.kernel.kernel.C": (2, 4, 2, 2),
        "d_layers.0.layer.kernel.kernel.log_dt": (4,),
        "d_layers.0.layer.kernel.kernel.inv_w_real": (4, 2),
        "d_layers.0.layer.kernel.kernel.w_imag": (4, 2),
        "d_layers.0.layer.kernel.kernel.B": (1, 4, 2, 2),
        "d_layers.0.layer.kernel.kernel.P": (1, 4, 2, 2),
        "d_layers.0.layer.kernel.kernel.L": (),
        "d_layers.0.layer.output_linear.0.weight": (8, 4, 1),
        "d_layers.0.ff.ff.2.conv.weight_v": (4, 8, 1),
        "d_layers.0.upsample_conv2d.1.weight_v": (1, 1, 3, 4),
        "d_layers.0.mel_conv.conv.weight_v": (4, 5, 1),
        "d_layers.1.linear.conv.weight_v": (8, 8, 1),
        "u_layers.0.linear.conv.weight_v": (8, 8, 1),
        "final_conv.0.conv.weight_g": (4, 1, 1),
        "final_conv.2.conv.weight": (1, 4, 1),
        "norm.s": (1,),
    }
    assert {name: tuple(published[name].shape) for name in expected} == expected
    assert published["d_layers.0.layer.kernel.kernel.L"] == 16
    assert published["c_layers.0.layer.kernel.kernel.L"] == 8
    assert (published["d_layers.0.layer.kernel.kernel.w_imag"] < 0).all()


def test_layers_of_both_generations_may_stand_in_one_file_and_parallel_prefixes_are_dropped():
    model = built(CONFIG)
    old, new = (to_published(model.state_dict(), CONFIG, layout=layout, length=16) for layout in ("v3", "v4"))
    mixed = {name: tensor for name, tensor in old.items() if not name.startswith("c_layers.0.layer.")}
    mixed |= {name: tensor for name, tensor in new.items() if name.startswith("c_layers.0.layer.")}
    other = built(CONFIG, seed=5)
    other.load_state_dict(from_published({f"module.{name}": x for name, x in mixed.items()}, CONFIG))
    torch.testing.assert_close(outputs(other), outputs(model))


def test_gradients_flow_to_every_published_tensor():
    model = built(VOCODER)
    published = to_published(model.state_dict(), VOCODER, length=16)
    leaves = {name: x.clone().requires_grad_() if x.is_floating_point() else x for name, x in published.items()}
    ours = from_published(leaves, VOCODER)
    sum((tensor + 1).square().sum() for tensor in ours.values()).backward()
    for name, leaf in leaves.items():
        assert not leaf.is_floating_point() or leaf.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda state: state.pop("norm.m"), "lacks norm.m"),
        (lambda state: state.pop("c_layers.0.layer.kernel.kernel.P"), "c_layers.0"),
        (lambda state: state.update(extra=torch.ones(1)), "unknown extra"),
        (lambda state: state.update({"c_layers.0.layer.kernel.kernel.extra": torch.ones(1)}), "c_layers.0"),
        (lambda state: state.update({"c_layers.1.layer.D": torch.ones(1)}), "unknown c_layers.1.layer.D"),
        (lambda state: state.update({"c_layers.0.layer.kernel.krylov.w": torch.ones(1)}), "January 2022"),
    ],
)
def test_it_is_strict(change, word):
    state = to_published(built(CONFIG).state_dict(), CONFIG)
    change(state)
    with pytest.raises(UserError, match=word) as told:
        from_published(state, CONFIG)
    assert "\n" not in str(told.value)


def test_configs_are_translated_flat_and_whole():
    state = to_published(built(replace(CONFIG, n_ssm=2)).state_dict(), replace(CONFIG, n_ssm=2))
    assert config_from_published(PUBLISHED, state) == replace(CONFIG, n_ssm=2)
    whole = {
        "model": PUBLISHED | {"unconditional": False, "mel_upsample": [16, 16]},
        "diffusion": {"T": 50, "beta_0": 0.0001, "beta_T": 0.05, "beta": None},
        "dataset": {"sampling_rate": 22050, "hop_length": 256, "filter_length": 512, "win_length": 400},
    }
    config = config_from_published(whole)
    assert (config.diffusion_steps, config.beta_last, config.sample_rate) == (50, 0.05, 22050)
    assert (config.hop, config.mel_alignment, config.mel_fft, config.mel_window) == (256, "as_published", 512, 400)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"_name_": "wavenet"}, "wavenet"),
        ({"out_channels": 2}, "out_channels"),
        ({"d_model": "wide"}, "d_model"),
        ({"L": 1}, "kernel_length"),
    ],
)
def test_other_configs_are_refused_in_one_line(change, word):
    with pytest.raises(UserError, match=word) as told:
        config_from_published(PUBLISHED | change)
    assert "\n" not in str(told.value)


def test_files_are_loaded_with_their_config_and_overrides(tmp_path):
    model = built(CONFIG).float()
    published = {name: x.contiguous() for name, x in to_published(model.state_dict(), CONFIG, length=16).items()}
    save_file(published, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    loaded = load_published(tmp_path)
    assert loaded.config == CONFIG
    assert not loaded.training
    torch.testing.assert_close(outputs(loaded.double()), outputs(model.double()), atol=1e-4, rtol=1e-4)

    torch.save({"state_dict": published}, tmp_path / "500000.pkl")
    again = load_published(tmp_path / "500000.pkl", config=PUBLISHED, s4_kernel="half_spectrum")
    assert again.config == replace(CONFIG, s4_kernel="half_spectrum")
    assert not torch.allclose(outputs(again.double()), outputs(model.double()), atol=1e-4, rtol=1e-4)


def test_files_that_do_not_fit_are_named(tmp_path):
    model = built(CONFIG).float()
    path = tmp_path / "weights.safetensors"
    save_file({name: x.contiguous() for name, x in to_published(model.state_dict(), CONFIG).items()}, path)
    for config, word in ((PUBLISHED | {"n_layers": 2}, "lacks"), (PUBLISHED | {"d_model": 6}, "shapes")):
        with pytest.raises(UserError, match=word) as told:
            load_published(path, config=config)
        assert str(told.value).startswith(str(path))
        assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="Did you mean"):
        load_published(path, config=PUBLISHED, kernel_lenght=4)
