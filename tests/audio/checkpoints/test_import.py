"""`seqaudio import` and `export`: every layout, strict, and back."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import load_file

import seqaudio
import seqsuite
from seqaudio.checkpoints import export_checkpoint, import_checkpoint, read_checkpoint
from seqaudio.cli import main
from seqsuite.errors import UserError


def test_every_generation_of_sashimi_is_imported(kit, spelling, tmp_path):
    model = kit.build(unet=True)
    path = kit.write_file(tmp_path / "sashimi_sc09.pt", spelling(kit.published_of(model)), key=None)
    import_checkpoint(path, tmp_path / "ours")
    kit.same_outputs(seqsuite.load_model(tmp_path / "ours"), model)


@pytest.mark.parametrize("layout", ["v3", "v4"])
@pytest.mark.parametrize("mel", [False, True], ids=["plain", "mel"])
def test_both_generations_of_diffwave_are_imported(kit, layout, mel, tmp_path):
    options = {"kernel_length": 48} | (
        {"mel_upsample": (4, 2), "n_mels": 5, "mel_alignment": "as_published"} if mel else {}
    )
    model = kit.build("diffwave_sashimi_debug", **options)
    state = {f"module.{name}": tensor for name, tensor in kit.published_of(model, layout=layout).items()}
    path = kit.write_file(tmp_path / "500000.pkl", state, key="model_state_dict", optimizer_state_dict={"state": {}})
    raw = {
        "model": {"_name_": "sashimi", "unconditional": not mel, "d_model": 8, "n_layers": 1, "pool": [4], "L": 48}
        | {f"diffusion_step_embed_dim_{part}": 16 for part in ("in", "mid", "out")}
        | ({"mel_upsample": [4, 2]} if mel else {}),
        "diffusion": {"T": 200, "beta_0": 0.0001, "beta_T": 0.02},
        "dataset": {"sampling_rate": 16000},
    }
    result = import_checkpoint(path, tmp_path / "ours", source_config=kit.write_config(tmp_path / "a.yaml", raw))
    assert result.family == "diffwave_sashimi"
    again = seqsuite.load_model(tmp_path / "ours")
    assert again.config == model.config
    kit.same_outputs(again, model)


@pytest.mark.parametrize("name", ["sashimi_debug", "sashimi_unet_debug", "diffwave_sashimi_debug"])
@pytest.mark.parametrize("weights", ["safetensors", "torch"])
def test_an_export_comes_back_bit_for_bit(kit, name, weights, tmp_path):
    model = kit.build(name, sample_rate=8000)
    model.save_pretrained(tmp_path / "mine")
    export_checkpoint(tmp_path / "mine", tmp_path / "published", length=0, weights=weights)
    import_checkpoint(tmp_path / "published", tmp_path / "again")
    again = seqsuite.load_model(tmp_path / "again")
    assert again.config.sample_rate == 8000
    kit.same_outputs(again, model, tolerance=0)
    export_checkpoint(tmp_path / "again", tmp_path / "twice", length=0)
    export_checkpoint(tmp_path / "mine", tmp_path / "once", length=0)
    first, second = (load_file(tmp_path / folder / "model.safetensors") for folder in ("once", "twice"))
    assert set(first) == set(second)
    for key, tensor in first.items():
        assert torch.equal(second[key], tensor), key


def test_an_export_is_what_the_published_programs_read(kit, tmp_path):
    kit.build().save_pretrained(tmp_path / "lm")
    kit.build("diffwave_sashimi_debug", kernel_length=48).save_pretrained(tmp_path / "denoiser")
    export_checkpoint(tmp_path / "lm", tmp_path / "a", weights="torch", length=48)
    export_checkpoint(tmp_path / "denoiser", tmp_path / "b", weights="torch")
    state = torch.load(tmp_path / "a" / "model.ckpt", weights_only=True)["state_dict"]
    assert state["encoder.0.weight"].shape == (256, 16)
    assert state["model.c_layers.0.layer.layer.kernel.l_kernel"] == 48 // 8
    state = torch.load(tmp_path / "b" / "model.pkl", weights_only=True)["model_state_dict"]
    assert state["d_layers.0.layer.kernel.kernel.L"] == 48
    assert json.loads((tmp_path / "b" / "config.json").read_text())["model"]["L"] == 48


def test_a_run_s_window_is_what_c_is_attuned_to(kit, tmp_path):
    kit.build().save_pretrained(tmp_path / "run" / "model")
    (tmp_path / "run" / "model" / "audio.json").write_text(json.dumps({"normalize": "none", "length": 64}))
    result = export_checkpoint(tmp_path / "run", tmp_path / "published")
    state = load_file(tmp_path / "published" / "model.safetensors")
    assert state["model.c_layers.0.layer.layer.kernel.l_kernel"] == 64 // 8
    assert any("attuned to 64 samples" in note for note in result.notes)
    assert any("normalize='none'" in note for note in result.notes)


def test_what_the_weights_do_not_say_is_told_and_chosen(kit, tmp_path, capsys):
    model = kit.build(mixer_options={"d_state": 16, "n_ssm": 1, "dt_transform": "softplus"}, quantization="linear")
    path = kit.write_file(tmp_path / "a.ckpt", kit.published_of(model), hyper_parameters={"lr": 1e-3})
    assert main(["import", str(path), "--out", str(tmp_path / "exp")]) == 0
    told = capsys.readouterr().err
    assert "dt_transform='exp' (nothing in it says so; a flag overrules it)" in told
    assert "sample_rate=16000 (nothing" in told
    flags = ["--dt_transform", "softplus", "--quantization", "linear", "--sample_rate", "8000"]
    assert main(["import", str(path), "--out", str(tmp_path / "right"), *flags]) == 0
    assert "dt_transform='softplus' (as given)" in capsys.readouterr().err
    right = seqaudio.load(tmp_path / "right")
    assert (right.quantizer.kind, right.sample_rate, right.normalize) == ("linear", 8000, "minmax")
    kit.same_outputs(right.model, model)
    with pytest.raises(AssertionError):
        kit.same_outputs(seqsuite.load_model(tmp_path / "exp"), model)
    layer = {"dt_transform": "softplus"}
    raw = {"model": {"n_layers": 1, "layer": layer}, "dataset": {"quantization": "linear", "bits": "${a.b}"}}
    kit.write_config(tmp_path / "config.yaml", raw)
    checkpoint = read_checkpoint(path)
    assert "dt_transform='softplus' (as its config says)" in checkpoint.notes
    assert checkpoint.config.quantization == "linear"


def test_the_half_spectrum_is_chosen_by_a_flag(kit, tmp_path, capsys):
    model = kit.build("diffwave_sashimi_debug", kernel_length=48)
    model.save_pretrained(tmp_path / "mine")
    assert main(["export", str(tmp_path / "mine"), "--out", str(tmp_path / "published")]) == 0
    flags = ["--s4_kernel", "half_spectrum"]
    assert main(["import", str(tmp_path / "published"), "--out", str(tmp_path / "half"), *flags]) == 0
    assert "s4_kernel='half_spectrum' (as given)" in capsys.readouterr().err
    half = seqsuite.load_model(tmp_path / "half")
    assert half.config.s4_kernel == "half_spectrum"
    with pytest.raises(AssertionError):
        kit.same_outputs(half, model)


def test_missing_surplus_and_misshapen_tensors_are_named(kit, refused, tmp_path):
    good = kit.published_of(kit.build())
    name = "model.c_layers.0.layer.layer.kernel.B"
    changes = {
        "lacks layer.kernel.B": {key: x for key, x in good.items() if key != name},
        "unknown surplus.weight": good | {"model.surplus.weight": torch.ones(2)},
        "lacks norm.bias": {key: x for key, x in good.items() if key != "model.norm.bias"},
        "wrong shapes: head.bias is (7,), not (256,)": good | {"decoder.0.output_transform.bias": torch.ones(7)},
        "is no audio model that is known here (its tensors are a, ...); known: sashimi, diffwave_sashimi": {
            "a": torch.ones(1)
        },
    }
    for number, (told, state) in enumerate(changes.items()):
        path = kit.write_file(tmp_path / f"{number}.ckpt", state)
        line = refused("import", path, "--out", tmp_path / "ours")
        assert told in line
        assert str(path) in line
    assert not (tmp_path / "ours").exists()


def test_bad_sources_are_one_line(kit, refused, tmp_path):
    ours = tmp_path / "ours"
    (tmp_path / "cut.ckpt").write_bytes(
        kit.write_file(tmp_path / "a" / "a.ckpt", {"x": torch.ones(9)}).read_bytes()[:99]
    )
    (tmp_path / "text.pt").write_text("no tensors")
    for name in ("cut.ckpt", "text.pt"):
        assert f"{tmp_path / name}: is no file of tensors alone" in refused("import", tmp_path / name, "--out", ours)
    (tmp_path / "empty").mkdir()
    assert "holds none of model.safetensors" in refused("import", tmp_path / "empty", "--out", ours)
    assert "does not exist" in refused("import", tmp_path / "absent.pt", "--out", ours)
    kit.build().save_pretrained(tmp_path / "mine")
    assert "is a model of SeqSuite already" in refused("import", tmp_path / "mine", "--out", ours)
    assert "--out is missing" in refused("import", tmp_path / "mine")
    state = kit.published_of(kit.build())
    path = kit.write_file(tmp_path / "b" / "b.ckpt", state)
    line = refused("import", path, "--out", ours, "--s4_kernel", "exact")
    assert "is a checkpoint of sashimi, which has no s4_kernel; leave --s4_kernel away" in line
    assert "there is no such file" in refused("import", path, "--out", ours, "--source_config", tmp_path / "c.yaml")
    assert "--revision belongs to a hub id" in refused("import", path, "--out", ours, "--revision", "main")
    (tmp_path / "d.yaml").write_text("model: [")
    assert "d.yaml: is not valid YAML" in refused("import", path, "--out", ours, "--source_config", tmp_path / "d.yaml")
    kit.write_config(tmp_path / "e.yaml", {"model": {"n_layers": 3}})
    line = refused("import", path, "--out", ours, "--source_config", tmp_path / "e.yaml")
    assert "config says n_layers=3, the tensors say 1" in line
    denoiser = kit.write_file(tmp_path / "c.pkl", kit.published_of(kit.build("diffwave_sashimi_debug")))
    assert "say --source_config FILE" in refused("import", denoiser, "--out", ours)
    assert not ours.exists()
    ours.mkdir()
    (ours / "notes.txt").write_text("mine")
    assert "is not empty; add --overwrite" in refused("import", path, "--out", ours)
    assert main(["import", str(path), "--out", str(ours), "--overwrite", "true"]) == 0
    assert (ours / "notes.txt").read_text() == "mine"


def test_a_model_of_another_domain_is_told(kit, refused, tmp_path):
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "text")
    assert "holds a MixerLM; known are models of samples" in refused("verify", tmp_path / "text")
    state = seqsuite.create_model("mamba_lm_debug").state_dict()
    path = kit.write_file(tmp_path / "text.ckpt", dict(state))
    assert "is no audio model that is known here" in refused("import", path, "--out", tmp_path / "ours")
    kit.build("tcn_debug").save_pretrained(tmp_path / "tcn")
    assert "for which there is no published layout" in refused("export", tmp_path / "tcn", "--out", tmp_path / "out")
    kit.build(norm="frame").save_pretrained(tmp_path / "frame")
    assert "published layout" in refused("export", tmp_path / "frame", "--out", tmp_path / "out")
    kit.build().save_pretrained(tmp_path / "lm")
    assert "leave --layout away" in refused("export", tmp_path / "lm", "--out", tmp_path / "out", "--layout", "v3")
    assert not (tmp_path / "out").exists()


def test_one_of_several_files_is_named(kit, refused, tmp_path):
    folder = tmp_path / "release"
    for seed, name in enumerate(("sc09.pt", "beethoven.pt")):
        kit.write_file(folder / "checkpoints" / name, kit.published_of(kit.build(seed=seed)))
    line = refused("import", folder, "--out", tmp_path / "ours")
    assert "which of its files is it: checkpoints/beethoven.pt, checkpoints/sc09.pt?" in line
    line = refused("import", folder, "--out", tmp_path / "ours", "--file", "sc10.pt")
    assert "has no file sc10.pt; it has checkpoints/beethoven.pt, checkpoints/sc09.pt" in line
    import_checkpoint(folder, tmp_path / "ours", file="checkpoints/beethoven.pt")
    kit.same_outputs(seqsuite.load_model(tmp_path / "ours"), kit.build(seed=1))


def test_nothing_in_a_pickle_is_executed(kit, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    model = kit.build()
    path = kit.write_file(tmp_path / "a.ckpt", kit.published_of(model), hyper_parameters=Hostile())
    import_checkpoint(path, tmp_path / "ours")
    kit.same_outputs(seqsuite.load_model(tmp_path / "ours"), model)
    assert not (tmp_path / "executed").exists()
    torch.load(path, weights_only=False)  # the trap does snap
    assert (tmp_path / "executed").exists()


def test_a_hub_id_is_imported(kit, hub, tmp_path):
    folder = tmp_path / "repository"
    for seed, name in enumerate(("a.ckpt", "b.ckpt")):
        kit.write_file(folder / name, kit.published_of(kit.build(seed=seed)))
    (folder / "model.py").write_text("raise SystemExit('executed')")
    kit.write_config(folder / "config.yaml", {"dataset": {"quantization": "linear"}})
    hub.add("owner/sashimi", folder)
    options = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
    with pytest.raises(UserError, match=r"owner/sashimi: holds none of .*which of its files is it: a\.ckpt, b\.ckpt\?"):
        import_checkpoint("owner/sashimi", tmp_path / "ours", **options)
    import_checkpoint("owner/sashimi", tmp_path / "ours", file="b.ckpt", **options)
    ours = seqaudio.load(tmp_path / "ours")
    assert ours.quantizer.kind == "linear"
    kit.same_outputs(ours.model, kit.build(seed=1))
    asked = {path.rsplit("/", 1)[-1] for _, path in hub.requests if "/resolve/" in path}
    assert asked == {"b.ckpt", "config.yaml"}
    dead = options | {"endpoint": "http://127.0.0.1:9"}
    import_checkpoint("owner/sashimi", tmp_path / "offline", file="b.ckpt", **dead)
    with pytest.raises(UserError, match="the hub cannot be reached"):
        import_checkpoint("owner/sashimi", tmp_path / "more", file="a.ckpt", **dead)
