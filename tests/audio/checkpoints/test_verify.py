"""`seqaudio verify`: what it finds, and that it notices what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from seqaudio.checkpoints import export_checkpoint, read_checkpoint, verify, verify_checkpoint
from seqaudio.cli import main
from seqaudio.quantization import Quantizer


def values(found):
    return {check.name: check for check in found.checks}


@pytest.mark.parametrize("name", ["sashimi_debug", "sashimi_unet_debug", "tcn_debug"])
def test_the_laws_of_a_model_of_samples_hold(kit, name, tmp_path):
    kit.build(name).save_pretrained(tmp_path / "mine")
    found = verify_checkpoint(tmp_path / "mine", length=80)
    assert found.passed
    for law in ("causality", "chunks and the whole", "step and parallel"):
        assert values(found)[law].passed is True
    assert values(found)["mean bits"].value == pytest.approx(np.mean(found.curve))
    assert len(found.curve) == 80


def test_the_bits_are_those_of_the_fixed_sound(kit, tmp_path):
    from seqaudio.checkpoints.verification import fixed_sound

    model = kit.build()
    model.save_pretrained(tmp_path / "mine")
    codes = Quantizer(8, "mu_law").encode(fixed_sound(50, 16000))
    inputs = torch.cat((torch.tensor([128]), codes[:-1]))[None]
    with torch.no_grad():
        nats = torch.nn.functional.cross_entropy(model(inputs)[0], codes)
    found = verify_checkpoint(tmp_path / "mine", length=50)
    assert values(found)["mean bits"].value == pytest.approx(float(nats) / np.log(2), rel=1e-5)


def test_a_denoiser_that_predicts_nothing_has_the_error_of_the_noise(kit, tmp_path):
    model = kit.build("diffwave_sashimi_debug")
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.zero_()
    model.save_pretrained(tmp_path / "mine")
    found = verify_checkpoint(tmp_path / "mine", length=4000)
    assert found.passed
    assert values(found)["mean squared error"].value == pytest.approx(1, abs=0.1)
    assert values(found)["padding effect"].passed is True


def test_a_conditional_denoiser_is_given_the_mel_of_the_sound(kit, tmp_path):
    options = {"mel_upsample": (4, 4), "n_mels": 8, "mel_fft": 64, "mel_window": 64}
    kit.build("diffwave_sashimi_debug", **options).save_pretrained(tmp_path / "mine")
    found = verify_checkpoint(tmp_path / "mine", length=100)
    assert found.passed
    assert found.flags["mel_upsample"] == (4, 4)


def test_broken_laws_and_numbers_are_noticed(kit, tmp_path, capsys):
    kit.build().save_pretrained(tmp_path / "mine")
    checkpoint = read_checkpoint(tmp_path / "mine")
    forward = type(checkpoint.model).forward_features

    class Peeking(type(checkpoint.model)):
        def forward_features(self, input_ids, **options):
            return forward(self, input_ids, **options).roll(-1, 1)

    checkpoint.model.__class__ = Peeking
    found = verify(checkpoint, length=64)
    assert not found.passed
    assert [check.name for check in found.checks if check.passed is False] == [
        "causality",
        "chunks and the whole",
        "step and parallel",
    ]
    state = load_file(tmp_path / "mine" / "model.safetensors")
    state["head.bias"][3] = float("nan")
    save_file(state, tmp_path / "mine" / "model.safetensors")
    assert main(["verify", str(tmp_path / "mine"), "--length", "64", "--json", "true"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert {check["name"]: check["value"] for check in told["checks"]}["tensors not finite"] == 1


def test_the_table_says_what_it_is_and_the_checksum_survives_a_round_trip(kit, tmp_path, capsys):
    kit.build(sample_rate=8000, quantization="linear").save_pretrained(tmp_path / "mine")
    export_checkpoint(tmp_path / "mine", tmp_path / "published", length=0)
    assert main(["verify", str(tmp_path / "published"), "--length", "64"]) == 0
    out = capsys.readouterr()
    first, second = (verify_checkpoint(tmp_path / name, length=64) for name in ("mine", "published"))
    assert first.checksum == second.checksum
    for shown in (
        "sashimi",
        "published",
        "8000",
        "linear",
        f"{first.parameters:,}",
        first.checksum,
        "step and parallel",
    ):
        assert shown in out.out
    assert "quantization='linear' (as its config says)" in out.err
    assert second.figure() is not None


def test_a_model_that_looks_both_ways_has_no_laws_of_recurrence(kit, tmp_path):
    kit.build(head="classification", bidirectional=True, num_classes=3).save_pretrained(tmp_path / "mine")
    found = verify_checkpoint(tmp_path / "mine", length=64)
    assert found.passed
    assert set(values(found)) == {"tensors not finite", "outputs not finite"}


def test_wrong_flags_are_one_line(kit, refused, tmp_path):
    kit.build().save_pretrained(tmp_path / "mine")
    assert "--length is 4; it must be at least 16" in refused("verify", tmp_path / "mine", "--length", 4)
    line = refused("verify", tmp_path / "mine", "--dt_transform", "exp")
    assert "is a model of SeqSuite; its config.json says what these flags would" in line
