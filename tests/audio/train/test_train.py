"""`seqaudio train`: what a run leaves behind, that it learns, and that it goes on bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import seqaudio
from seqaudio.cli import main
from seqaudio.configs.train import AudioTrainConfig
from seqaudio.training import train
from seqaudio.training.run import make_task
from seqaudio.training.tasks import AudioTask
from seqsuite import create_model


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_folder_says_all_that_is_needed_later(clean, flags, tmp_path, capsys) -> None:
    assert main(["train", str(clean), *flags, "--bits", "7", "--quantization", "linear", "--normalize", "peak"]) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "run"
    for name in ("config.yaml", "metrics.csv", "summary.json", "report.html", "files.json"):
        assert (folder / name).stat().st_size > 0, name
    model = seqaudio.load(folder)
    assert (model.sample_rate, model.channels, model.normalize, model.length) == (8000, 1, "peak", 500)
    assert (model.quantizer.bits, model.quantizer.kind) == (7, "linear")
    assert model.objective == "autoregressive"
    files = model.files()
    used = [file.path.name for part in (files.train, files.valid, files.test) for file in part]
    assert sorted(used) == sorted(path.name for path in clean.iterdir())  # each in one part
    summary = json.loads((folder / "summary.json").read_text())
    assert f"{summary['bits_per_sample']:.4f}" in told
    assert summary["skipped_count"] == 0
    report = (folder / "report.html").read_text()
    assert "Bits by context" in report
    assert "0 files were left out" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_the_next_sample_is_learned_below_the_histogram_of_codes(clean, tmp_path) -> None:
    result = train(
        AudioTrainConfig(
            str(clean),
            model_options={"mixer_options": {"d_state": 16, "n_ssm": 1}},
            sample_rate=8000,
            length=1000,
            steps=60,
            batch_size=8,
            lr=1e-2,
            validate_every=0,
            threads=1,
            out=str(tmp_path / "run"),
        )
    )
    evaluation = result.evaluation
    assert evaluation.differences["order_0"].high < -0.5  # half a bit, and the interval agrees
    assert evaluation.bits_per_sample < 7


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("model", ["sashimi_debug", "diffwave_sashimi_debug"])
def test_a_run_that_was_cut_off_ends_with_the_same_bits(clean, tmp_path, monkeypatch, model, workers) -> None:
    def run(out: str, **options) -> Path:
        values = {"sample_rate": 8000, "length": 300, "batch_size": 2, "validate_every": 2, "checkpoint_every": 2}
        values |= {"log_every": 1, "valid_windows": 2, "baselines": False, "threads": 1, "workers": workers}
        values |= {"model": model, "model_options": {"d_model": 8}, "steps": 5}
        train(AudioTrainConfig(str(clean), out=str(tmp_path / out), **(values | options)))
        return tmp_path / out

    def dies(task, batch, batch_idx) -> None:
        if batch_idx == 3:
            raise RuntimeError("the power went off")

    whole = run("whole")
    with monkeypatch.context() as patch:
        patch.setattr(AudioTask, "on_train_batch_start", dies)
        with pytest.raises(RuntimeError, match="power"):
            run("cut")
    saved = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").glob("step-*"))
    assert saved == ["step-00000002.ckpt"]  # a step is lost, and done again
    resumed = run("cut", resume=True)
    assert weights(whole) == weights(resumed)
    if not workers:
        assert weights(run("other", seed=1)) != weights(whole)  # and the test can fail


def test_options_that_change_the_run_forbid_to_go_on(clean, flags, capsys) -> None:
    assert main(["train", str(clean), *flags]) == 0
    assert main(["train", str(clean), *flags, "--resume", "--normalize", "peak"]) == 2
    assert "normalize: none -> peak" in capsys.readouterr().err


def test_other_files_forbid_to_go_on(folder, flags, capsys) -> None:
    assert main(["train", str(folder), *flags]) == 0
    soundfile.write(folder / "clip9.wav", np.full(9000, 0.1) * np.sin(np.arange(9000)), 8000)
    assert main(["train", str(folder), *flags, "--resume"]) == 2
    assert "files has changed" in capsys.readouterr().err


def test_folders_of_their_own_take_the_place_of_shares(clean, folder, flags, tmp_path) -> None:
    for name in ("clip0.wav", "clip1.wav"):
        (folder / name).unlink()
    held_out = tmp_path / "held"
    held_out.mkdir()
    (held_out / "clip0.wav").write_bytes((clean / "clip0.wav").read_bytes())
    assert main(["train", str(folder), *flags, "--test", str(held_out)]) == 0
    files = seqaudio.load(tmp_path / "run").files()
    assert [file.path.name for file in files.test] == ["clip0.wav"]
    assert len(files.train) + len(files.valid) == 4


def test_held_out_files_are_not_in_the_source(clean, flags, capsys) -> None:
    assert main(["train", str(clean), *flags, "--test", str(clean / "clip0.wav")]) == 2
    assert "clip0.wav" in capsys.readouterr().err


def test_state_matrices_learn_at_the_published_rate_at_most() -> None:
    def rates(lr: float, ssm_lr: float, scale: float) -> dict[str, float]:
        model = create_model("sashimi_debug", mixer_options={"d_state": 4, "n_ssm": 1, "ssm_lr_scale": scale})
        config = AudioTrainConfig("-", lr=lr, ssm_lr=ssm_lr, weight_decay=0.1, warmup=0)
        optimizer = make_task(model, config, {}).configure_optimizers()["optimizer"]
        found = {}
        for group in optimizer.param_groups:
            for name, parameter in model.named_parameters():
                if any(parameter is other for other in group["params"]):
                    found[name] = group["lr"], group["weight_decay"]
        return found

    def of(found, end):
        (rate,) = {value for name, value in found.items() if name.endswith(end)}
        return rate

    found = rates(4e-3, 1e-3, 1.0)
    for name in (".A_real", ".A_imag", ".P", ".B", ".inv_dt"):
        assert of(found, name) == pytest.approx((1e-3, 0.0))
    assert of(found, "head.weight") == pytest.approx((4e-3, 0.1))
    assert of(rates(4e-3, 1e-3, 0.1), ".A_real")[0] == pytest.approx(4e-4)  # the model asks for less
    assert of(rates(5e-4, 1e-3, 1.0), ".A_real")[0] == pytest.approx(5e-4)
    assert of(rates(4e-3, 0.0, 1.0), ".A_real")[0] == pytest.approx(4e-3)


def test_padding_asks_for_nothing() -> None:
    model = create_model("sashimi_debug", d_model=8).eval()
    task = make_task(model, AudioTrainConfig("-"), {})
    codes = torch.randint(256, (2, 40), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(40)[None] < torch.tensor([40, 25])[:, None]
    scores = task.training_scores({"codes": codes, "valid": valid})
    total, count = scores.totals["loss"]
    assert int(count) == 65
    changed = codes.clone()
    changed[1, 25:] = 0
    assert torch.equal(task.training_scores({"codes": changed, "valid": valid}).totals["loss"][0], total)


def test_the_first_sample_is_predicted_from_silence_and_no_sample_from_itself() -> None:
    model = create_model("sashimi_debug", d_model=8).eval()
    task = make_task(model, AudioTrainConfig("-"), {})
    seen = []
    model.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    codes = torch.tensor([[3, 7, 250, 9]])
    task.training_scores({"codes": codes, "valid": torch.ones(1, 4, dtype=torch.bool)})
    assert seen[0].tolist() == [[128, 3, 7, 250]]


def test_a_config_file_of_a_run_starts_the_same_run(clean, flags, tmp_path) -> None:
    assert main(["train", str(clean), *flags]) == 0
    values = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    values["out"] = str(tmp_path / "again")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(tmp_path / "again.yaml")]) == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "again")
