"""What imports and exports share: measured numbers, the folder that is written, configs of others."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from seqsuite.errors import UserError
from seqsuite.models.checks import Check, difference, not_finite
from seqsuite.models.published import find_weights, read_config_file
from seqsuite.models.transfer import free_folder, write_published


def test_a_check_is_judged_by_its_limit_and_what_is_no_number_fails():
    assert Check("a", 1e-5, 1e-4, "").passed is True
    assert Check("a", 1e-3, 1e-4, "").passed is False
    assert Check("a", 1e-3, None, "").passed is None
    broken = Check("a", difference(torch.ones(2), torch.tensor([1.0, math.nan])), 1e-4, "")
    assert broken.passed is False
    assert broken.to_dict()["value"] is None
    assert difference(torch.tensor([4.0, 2.0]), torch.tensor([4.0, 1.0])) == 0.25
    assert not_finite([torch.tensor([1.0, math.inf, math.nan]), torch.tensor([3])]) == 2


@pytest.mark.parametrize("weights", ["model.safetensors", "model.pkl"])
def test_tied_tensors_are_written_under_each_of_their_names(tmp_path, weights):
    tied = torch.arange(4.0)
    write_published(tmp_path / "a", {"n": 1}, {"x": tied, "y": tied}, tables={"t.json": {"A": 0}}, weights=weights)
    path = tmp_path / "a" / weights
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)["state_dict"]
    assert set(state) == {"x", "y"}
    assert torch.equal(state["x"], tied)
    assert torch.equal(state["y"], tied)
    assert json.loads((tmp_path / "a" / "t.json").read_text()) == {"A": 0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_a_folder_is_not_written_over(tmp_path):
    assert free_folder(tmp_path / "new", False) == tmp_path / "new"
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not empty; add --overwrite"):
        free_folder(tmp_path, False)
    with pytest.raises(UserError, match="is a file"):
        free_folder(tmp_path / "file", True)


def test_the_only_file_of_weights_is_found_and_a_usual_name_wins(tmp_path):
    (tmp_path / "deep").mkdir()
    only = tmp_path / "deep" / "a.ckpt"
    only.write_bytes(b"")
    assert find_weights(tmp_path) == only
    (tmp_path / "b.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"which of its files is it: b\.pt, deep/a\.ckpt\?"):
        find_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert find_weights(tmp_path) == tmp_path / "model.safetensors"
    assert find_weights(tmp_path, "deep/a.ckpt") == only
    with pytest.raises(UserError, match=r"has no file c\.pt"):
        find_weights(tmp_path, "c.pt")


def test_references_in_a_config_are_left_out(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {d_model: 64, L: '${dataset.length}'}\nname: x\n")
    assert read_config_file(tmp_path / "a.yaml") == {"model": {"d_model": 64}, "name": "x"}
    (tmp_path / "b.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="must hold an object"):
        read_config_file(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_text("!!python/object/apply:os.mkdir [executed]\n")
    with pytest.raises(UserError, match="is not valid YAML"):
        read_config_file(tmp_path / "c.yaml")
