"""`seqdna verify`: what it prints is true, a broken law fails, what cannot be loaded is one line."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import seqsuite
from seqdna.checkpoints import import_checkpoint, read_checkpoint, verify_checkpoint
from seqdna.checkpoints.verification import verify
from seqdna.cli import main
from seqdna.tokenizers import KmerTokenizer
from seqsuite.models.checks import checksum

MODELS = [
    ("caduceus_ps_debug", {"padding": "masked"}, {"RC-equivariance error (float64)", "padding effect"}),
    ("caduceus_ps_debug", {"swap_halves": True}, {"RC-equivariance error (float64)"}),
    ("caduceus_ps_debug", {"head": "sequence_classification"}, {"RC-equivariance error (float64)"}),
    ("caduceus_ps_debug", {"head": "none", "residual_in_fp32": True}, {"RC-equivariance error (float64)"}),
    ("caduceus_ph_debug", {}, set()),
    (
        "caduceus_ph_debug",
        {"head": "sequence_classification", "conjoin_eval": True},
        {"RC-equivariance error (float64)"},
    ),
    ("mamba_dna_debug", {"padding": "masked"}, {"causality", "padding effect"}),
    ("hyenadna_debug", {"mixer_options": {"l_max": 90, "shift": 0.05}}, {"causality"}),
    (
        "leave_one_out_debug",
        {"padding": "masked"},
        {"RC-equivariance error (float64)", "leave-one-out", "padding effect"},
    ),
]
FAMILY = {
    "caduceus_ps_debug": "caduceus",
    "caduceus_ph_debug": "caduceus",
    "mamba_dna_debug": "mamba",
    "hyenadna_debug": "hyenadna",
    "leave_one_out_debug": "LeaveOneOut",
}


def save(folder, name, **options):
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **({"padding": "as_published"} | options)).eval()
    model.save_pretrained(folder)
    return model


def by_name(found):
    return {check.name: check for check in found.checks}


@pytest.mark.parametrize(("name", "options", "laws"), MODELS)
def test_a_sound_model_passes_and_its_laws_are_judged(tmp_path, name, options, laws):
    model = save(tmp_path / "m", name, **options)
    found = verify_checkpoint(tmp_path / "m", length=100)
    assert found.passed
    assert found.family == FAMILY[name]
    checks = by_name(found)
    always = {"tensors not finite", "outputs not finite"}
    judged = {name for name, check in checks.items() if check.passed is not None}
    if "RC-equivariance error (float64)" in laws:
        always |= {"RC-equivariance error (float32)"}
    assert judged == always | laws
    assert "padding effect" in checks
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.length == min(100, options.get("mixer_options", {}).get("l_max", 10**6) - 16)


def test_the_checksum_is_that_of_names_and_bytes_and_of_nothing_else(tmp_path, make, publish):
    state = {"b": torch.tensor([1.0, 2.0]), "a": torch.tensor([[3]], dtype=torch.int64)}
    digest = hashlib.sha256()
    digest.update(b"a\0torch.int64\0(1, 1)\0" + np.array([3], dtype="<i8").tobytes())
    digest.update(b"b\0torch.float32\0(2,)\0" + np.array([1, 2], dtype="<f4").tobytes())
    assert checksum(state) == digest.hexdigest()
    assert checksum({"a": state["a"], "b": state["b"].to(torch.bfloat16)}) != digest.hexdigest()
    folder = publish(tmp_path / "published", make())
    import_checkpoint(folder, tmp_path / "ours")
    published, ours = (verify_checkpoint(path, length=32) for path in (folder, tmp_path / "ours"))
    assert (published.layout, ours.layout) == ("published", "seqsuite")
    assert published.checksum == ours.checksum
    assert [check.value for check in published.checks] == [check.value for check in ours.checks]
    other = verify_checkpoint(publish(tmp_path / "other", make(seed=1)), length=32)
    assert other.checksum != ours.checksum


def test_numbers_of_a_model_that_knows_nothing(tmp_path):
    """Equal logits: two bits a base, and two bits of entropy."""
    model = save(tmp_path / "m", "mamba_dna_debug")
    with torch.no_grad():
        model.embedding.weight.zero_()
    model.save_pretrained(tmp_path / "m")
    checks = by_name(verify_checkpoint(tmp_path / "m", length=64))
    assert checks["mean entropy"].value == pytest.approx(2)
    assert checks["mean bits"].value == pytest.approx(2)


def test_no_model_is_below_two_bits_on_random_bases(tmp_path):
    for name in ("caduceus_ps_debug", "leave_one_out_debug", "hyenadna_debug", "mamba_dna_debug"):
        save(tmp_path / name, name)
        checks = by_name(verify_checkpoint(tmp_path / name, length=500))
        assert checks["mean bits"].value > 1.98, name
        assert 0 < checks["mean entropy"].value <= 2 + 1e-9


def test_the_input_is_the_same_every_time_and_bases_alone(tmp_path, monkeypatch):
    save(tmp_path / "m", "caduceus_ps_debug")
    checkpoint, seen = read_checkpoint(tmp_path / "m"), []
    checkpoint.model.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    first, _, second, _ = (verify(checkpoint, length=300), seen.copy(), verify(checkpoint, length=300), seen)
    assert torch.equal(seen[0], seen[len(seen) // 2])
    assert set(seen[0].unique().tolist()) == {7, 8, 9, 10}
    assert first.checks == second.checks


class Leaks(torch.nn.Module):
    """Passes a little of the next position back."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x, **options):
        out = self.backbone(x, **options)
        return out + 1e-6 * torch.cat((out[:, 1:], out[:, :1]), 1)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("mamba_dna_debug", {"causality"}),
        ("hyenadna_debug", {"causality"}),
        ("leave_one_out_debug", {"leave-one-out"}),
    ],
)
def test_a_broken_law_is_found(tmp_path, name, broken):
    save(tmp_path / "m", name)
    checkpoint = read_checkpoint(tmp_path / "m")
    assert verify(checkpoint, length=60).passed
    checkpoint.model.backbone = Leaks(checkpoint.model.backbone)
    found = verify(checkpoint, length=60)
    assert not found.passed
    assert broken <= {check.name for check in found.checks if check.passed is False}


def test_strands_that_are_not_paired_are_found(tmp_path):
    save(tmp_path / "m", "caduceus_ps_debug")
    checkpoint = read_checkpoint(tmp_path / "m")
    checkpoint.model.complement = torch.arange(16)
    failed = {check.name for check in verify(checkpoint, length=60).checks if check.passed is False}
    assert failed == {"RC-equivariance error (float32)", "RC-equivariance error (float64)"}


def test_padding_that_counts_under_masked_is_found(tmp_path):
    save(tmp_path / "m", "caduceus_ps_debug", padding="masked")
    checkpoint = read_checkpoint(tmp_path / "m")
    checkpoint.model.padding_seq = checkpoint.model._seq = lambda ids, seq: None
    found = verify(checkpoint, length=60)
    assert {check.name for check in found.checks if check.passed is False} == {"padding effect"}


def test_weights_that_are_no_numbers_fail_with_exit_code_1(tmp_path, capsys):
    save(tmp_path / "m", "caduceus_ps_debug")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["backbone.norm_f.weight"][3] = float("nan")
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    assert main(["verify", str(tmp_path / "m"), "--length", "40"]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "m"), "--length", "40", "--json", "true"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    assert {check["name"]: check["value"] for check in found["checks"]}["tensors not finite"] == 1


def test_what_is_printed(tmp_path, capsys):
    model = save(tmp_path / "m", "caduceus_ps_debug", swap_halves=True)
    assert main(["verify", str(tmp_path / "m"), "--length", "40"]) == 0
    text = capsys.readouterr().out
    found = verify_checkpoint(tmp_path / "m", length=40)
    for shown in (found.checksum, f"{model.num_parameters():,}", "swap_halves", "as_published", "RC-equivariance"):
        assert shown in text
    assert main(["verify", str(tmp_path / "m"), "--length", "40", "--json", "true"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["checksum"] == found.checksum
    assert content["flags"]["rcps"] is True
    assert content["passed"] is True
    assert len(found.figure().axes[0].lines[0].get_ydata()) == 40
    assert "<table" in found._repr_html_()
    assert {row["what"] for row in found.table()} >= {"family", "parameters", "rcps", "swap_halves", "padding"}


def test_a_run_folder_is_read(tmp_path):
    save(tmp_path / "run" / "model", "caduceus_ps_debug")
    assert (
        verify_checkpoint(tmp_path / "run", length=40).checksum
        == verify_checkpoint(tmp_path / "run" / "model", length=40).checksum
    )


def other_domain(folder):
    seqsuite.create_model("mamba_lm_debug").save_pretrained(folder)


def other_words(folder):
    save(folder, "caduceus_ps_debug")
    words = {"type": "nucleotide", "tokens": ["[PAD]", "[MASK]", "[UNK]", "A", "C", "G", "T"]}
    (folder / "tokenizer.json").write_text(json.dumps(words))


def truncated(folder):
    save(folder, "caduceus_ps_debug")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])


def surplus(folder):
    save(folder, "caduceus_ps_debug")
    save_file(load_file(folder / "model.safetensors") | {"odd": torch.ones(1)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_domain, "holds a MixerLM, which is no genome model of seqdna"),
        (other_words, "tokenizer.json: does not match the checkpoint: it has 7 tokens, but the checkpoint's"),
        (truncated, "model.safetensors: is damaged or no safetensors file"),
        (surplus, "has unknown odd"),
        (lambda folder: folder.mkdir(), "holds none of model.safetensors"),
        (lambda folder: None, "does not exist"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_and_exit_code_2(tmp_path, capsys, spoil, message):
    spoil(tmp_path / "m")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "m")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert str(tmp_path / "m") in lines[0]


def test_a_model_of_words_is_verified_and_not_exported(tmp_path, capsys):
    words = KmerTokenizer(k=2)
    table = tuple(words.complement_map().values())
    save(tmp_path / "m", "caduceus_ps_debug", vocab_size=len(words), complement_map=table, pad_token_id=words.pad_id)
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(words.to_dict()))
    found = verify_checkpoint(tmp_path / "m", length=100)
    assert found.passed
    assert 3.9 < by_name(found)["mean bits"].value < 4.2
    assert main(["export", str(tmp_path / "m"), str(tmp_path / "x")]) == 2
    assert "reads words of several bases" in capsys.readouterr().err


def test_the_length_is_at_least_8(tmp_path, capsys):
    assert main(["verify", str(tmp_path), "--length", "7"]) == 2
    assert "--length is 7; it must be at least 8" in capsys.readouterr().err


def test_a_checkpoint_can_be_made_in_memory(tmp_path):
    save(tmp_path / "m", "caduceus_ps_debug")
    checkpoint = dataclasses.replace(read_checkpoint(tmp_path / "m"), source="mine")
    assert verify(checkpoint, length=40).source == "mine"
