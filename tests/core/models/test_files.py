"""Exports: strict in both directions, one line for whatever is wrong, an earlier export survives a failure."""

from __future__ import annotations

import errno
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models import files
from seqsuite.models.base import Model
from seqsuite.models.published import read_published


@pytest.fixture
def export(tmp_path):
    torch.manual_seed(0)
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "export")
    return tmp_path / "export"


def edit_config(export, **changes):
    path = export / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_export_holds_three_files_and_no_leftovers(export):
    assert sorted(path.name for path in export.parent.rglob("*")) == [
        "README.md",
        "config.json",
        "export",
        "model.safetensors",
    ]
    assert (export / "README.md").read_text().startswith("---\nlibrary_name: seqsuite\n")


def test_a_card_written_by_hand_stays(export):
    other = seqsuite.create_model("mamba_lm_debug", d_model=48)
    other.save_pretrained(export)
    assert "| d_model | 48 |" in (export / "README.md").read_text()
    (export / "README.md").write_text("mine")
    other.save_pretrained(export)
    assert (export / "README.md").read_text() == "mine"


@pytest.mark.parametrize("failing", ["save_file", "fsync"])
def test_a_full_disk_leaves_the_earlier_export(export, monkeypatch, failing):
    before = {path.name: path.read_bytes() for path in export.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((files, "save_file") if failing == "save_file" else (files.os, "fsync")), full)
    with pytest.raises(UserError, match=r"cannot write the model .*No space left"):
        seqsuite.create_model("mamba_lm_debug").save_pretrained(export)
    assert {path.name: path.read_bytes() for path in export.iterdir()} == before
    assert [path.name for path in export.parent.iterdir()] == ["export"]


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"is no folder and no hub id"):
        seqsuite.load_model(tmp_path / "nowhere")


def test_unreachable_hub_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"owner/name: no such folder, and the hub does not give it") as caught:
        seqsuite.load_model("owner/name", local_files_only=True, cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no config.json"),
        ("{", "is not valid JSON"),
        ("[]", "was not written by SeqSuite"),
        ("3", "was not written by SeqSuite"),
        ('{"model": "seqsuite.models.mixer_lm:MixerLM", "name": 3}', "name must be str or None, not 3"),
        ('{"model_type": "bert"}', "was not written by SeqSuite"),
        ('{"model": "os:system"}', "no installed plugin has the model 'os:system'"),
        ('{"model": "seqsuite.models.mixer_lm:MixerLM"}', "d_model, n_layer must be given"),
    ],
)
def test_foreign_or_damaged_config_is_one_line(export, content, message):
    (export / "config.json").unlink()
    if content is not None:
        (export / "config.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        seqsuite.load_model(export)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixer_options": {"d_model": 5}}, "mixer 'mamba': d_model is not an option"),
        ({"mixer_options": {"name": 5}}, "Unknown option of mixer 'mamba' 'name'"),
        ({"mixer_options": {"d_state": "x"}}, "mixer 'mamba': d_state must be int, not 'x'"),
        ({"norm_epsilon": 0}, "MixerLMConfig: norm_epsilon must be above 0, not 0.0"),
        ({"d_model": -1}, "MixerLMConfig: d_model must be at least 1, not -1"),
    ],
)
def test_a_config_that_cannot_be_built_is_told_with_its_file(export, changes, message):
    edit_config(export, **changes)
    with pytest.raises(UserError, match=rf"config\.json: {message}") as caught:
        seqsuite.load_model(export)
    assert "\n" not in str(caught.value)


def test_text_and_numpy_scalars_in_mixer_options_are_exported_as_what_they_mean(tmp_path):
    given = {"d_state": "4", "d_conv": np.int64(3), "conv_bias": "false"}
    seqsuite.create_model("mamba_lm_debug", mixer_options=given).save_pretrained(tmp_path)
    options = json.loads((tmp_path / "config.json").read_text())["mixer_options"]
    assert options == {"d_state": 4, "d_conv": 3, "conv_bias": False}
    assert seqsuite.load_model(tmp_path).backbone.layers[0].mixer.d_state == 4


@pytest.mark.parametrize("index", ['{"weight_map": ["a"]}', '{"weight_map": {"a": 3}}', "{}", "[]"])
def test_a_damaged_index_of_shards_is_named(tmp_path, index):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match=r"^.*model\.safetensors\.index\.json: ") as caught:
        read_published(tmp_path)
    assert "\n" not in str(caught.value)


def test_config_fields_are_strict(export):
    edit_config(export, n_layers=2)
    with pytest.raises(UserError, match=r"'n_layers'.*Did you mean 'n_layer'"):
        seqsuite.load_model(export)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"\x00" * 100, lambda data: b""])
def test_damaged_weights_are_one_line(export, damage):
    path = export / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"is damaged or no safetensors file"):
        seqsuite.load_model(export)


def test_pickle_is_not_read(export):
    (export / "model.safetensors").write_bytes(pickle.dumps({"embedding.weight": 1}))
    with pytest.raises(UserError, match=r"is damaged or no safetensors file"):
        seqsuite.load_model(export)


def test_missing_unknown_and_misshapen_tensors_are_named(export):
    path = export / "model.safetensors"
    tensors = load_file(path)
    tensors["stranger"] = torch.zeros(1)
    tensors["embedding.weight"] = tensors["embedding.weight"][:-1].clone()
    del tensors["backbone.norm_f.weight"]
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"lacks backbone.norm_f.weight; has unknown stranger; .*\(15, 32\), not \(16"):
        seqsuite.load_model(export)


def test_another_class_is_refused(export):
    class Other(Model):
        pass

    with pytest.raises(UserError, match=r"holds a MixerLM, not a Other"):
        Other.from_pretrained(export)


def test_shared_tensors_are_stored_once_and_loaded_under_every_name(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight

    torch.manual_seed(0)
    model, other = Tied(), Tied()
    state = model.state_dict()
    assert files.shared_tensors(state) == {"second.weight": "first.weight"}
    for name in ("first.weight", "second.weight"):
        kept = {key: value for key, value in state.items() if key != name}
        files.load_weights(other, kept, "here")
        assert torch.equal(other.second.weight, model.first.weight)
