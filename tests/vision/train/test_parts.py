"""The parts of training follow timm: mixing, averages, schedules, groups, weights to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data import Mixup
from timm.scheduler import create_scheduler_v2

from seqsuite.errors import UserError
from seqsuite.models import create_model
from seqsuite.reports import read_metrics
from seqsuite.training.callbacks import learning_rate
from seqvision.configs.models import ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.images_transforms import seeded
from seqvision.data.opening import open_labelled
from seqvision.models.image_model import ImageModel
from seqvision.training import train
from seqvision.training.mixing import Mixing
from seqvision.training.models import begin_from, make_model
from seqvision.training.optim import make_optimizer, make_schedule
from seqvision.training.task import Averaging


def config(**options: Any) -> VisionTrainConfig:
    return VisionTrainConfig(**{"source": "digits", "model": "test_resnet", "steps": 20, "hflip": 0.0, **options})


def tiny(**options: Any) -> ImageModel:
    return ImageModel(ImageModelConfig(**{"architecture": "test_resnet", "num_classes": 4, "in_chans": 1,
                                          "img_size": (16, 16), **options}))  # fmt: skip


# Mixing


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_mixing_is_timms_with_a_seed_of_its_own(mode):
    x, y = torch.randn(6, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    mixing = Mixing.from_config(config(mixup=0.8, cutmix=1.0, mixup_mode=mode), classes=3)
    assert mixing is not None
    before = x.clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = mixing(x, y, seed=17)
    assert torch.equal(x, before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    with seeded(17):
        reference = Mixup(0.8, 1.0, mode=mode, label_smoothing=0.1, num_classes=3)(x.clone(), y)
    assert all(torch.equal(one, other) for one, other in zip(found, reference, strict=True))
    assert torch.allclose(found[1].sum(1), torch.ones(6))
    assert not torch.equal(mixing(x, y, seed=18)[0], found[0])


def test_frames_of_a_clip_are_mixed_alike():
    x = torch.randn(4, 1, 1, 6, 6).expand(4, 2, 3, 6, 6).contiguous()
    mixing = Mixing.from_config(config(cutmix=1.0), classes=2)
    assert mixing is not None
    for seed in range(5):
        mixed, targets = mixing(x, torch.tensor([0, 0, 1, 1]), seed)
        assert torch.equal(mixed, mixed[:, :1, :1].expand_as(mixed))
        # The share of pixels from the other clip is that of its class in the target.
        share = (mixed != x)[:, 0, 0].float().mean((1, 2))
        expected = 0.9 * share + 0.05
        assert torch.allclose(targets[:2, 1], expected[:2], atol=1e-6)


def test_an_odd_batch_cannot_be_mixed():
    with pytest.raises(UserError, match="must be even"):
        config(mixup=0.5, batch_size=7)


# Averages


def test_the_average_is_the_mean_with_falling_weights(tmp_path, monkeypatch):
    seen: list[dict[str, torch.Tensor]] = []
    before = Averaging.on_train_batch_end

    def watch(self: Averaging, trainer: Any, module: Any, *rest: Any) -> None:
        before(self, trainer, module, *rest)
        seen.append({name: value.clone() for name, value in module.model.state_dict().items()})

    monkeypatch.setattr(Averaging, "on_train_batch_end", watch)
    options = {"ema": True, "ema_decay": 0.75, "ema_warmup": False, "out": str(tmp_path / "run"), "batch_size": 8}
    train(config(steps=5, valid_fraction=0.0, **options))
    exported = create_model("test_mamba_nd").from_pretrained(tmp_path / "run" / "model")
    for name, value in exported.state_dict().items():
        if not value.is_floating_point():
            assert torch.equal(value, seen[-1][name])
            continue
        average = seen[0][name]  # the first update takes the weights as they are
        for later in seen[1:]:
            average = 0.75 * average + 0.25 * later[name]
        assert torch.allclose(value, average, atol=1e-6), name


# Optimisers and schedules


@pytest.mark.parametrize("sched", ["cosine", "tanh", "poly", "step", "wsd", "rsqrt", "constant"])
def test_schedules_are_timms_in_steps(tmp_path, sched):
    options = {"sched": sched, "lr": 0.01, "warmup": 3.0, "warmup_lr": 1e-4, "min_lr": 1e-5}
    model = tiny()
    optimizer = make_optimizer(model, config(**options))
    schedule = make_schedule(optimizer, config(**options))
    plain = torch.optim.SGD(model.parameters(), lr=0.01)
    reference, _ = create_scheduler_v2(plain, sched=sched, num_epochs=17, warmup_epochs=3, warmup_prefix=True,
                                       warmup_lr=1e-4, min_lr=1e-5, step_on_epochs=True)  # fmt: skip
    assert schedule is not None
    rates = []
    for step in range(20):
        schedule.step_update(step)
        reference.step(step)
        rates.append(learning_rate(optimizer))
        assert rates[-1] == pytest.approx(plain.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(0.01)


def test_the_rates_that_were_taken_are_written_down(tmp_path):
    train(config(steps=6, warmup=2.0, warmup_lr=1e-4, lr=0.01, log_every=1, out=str(tmp_path / "r"), batch_size=8))
    steps, rates = read_metrics(tmp_path / "r")["lr"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert rates[:3] == pytest.approx([1e-4, 5.05e-3, 0.01], rel=1e-6)


@pytest.mark.parametrize("options", [{"decay_epochs": 0}, {"no_such": 1}])
def test_schedules_that_cannot_be_are_told_before_training(options):
    told = config(sched="step", sched_options=options)
    with pytest.raises(UserError, match="--sched"):
        make_schedule(make_optimizer(tiny(), told), told)


def test_layer_decay_scales_towards_the_input():
    model = tiny(architecture="test_vit", img_size=(160, 160))
    groups = make_optimizer(model, config(layer_decay=0.5)).param_groups
    scale = {id(part): group["lr_scale"] for group in groups for part in group["params"]}
    net: Any = model.net
    assert scale[id(net.head.weight)] == 1
    assert scale[id(net.patch_embed.proj.weight)] < scale[id(net.blocks[0].attn.qkv.weight)] < 1


def test_what_the_architecture_exempts_does_not_decay():
    model = tiny(architecture="test_mamba_nd", img_size=(64, 64))
    groups = make_optimizer(model, config()).param_groups
    decay = {id(part): group["weight_decay"] for group in groups for part in group["params"]}
    names = dict(model.named_parameters())
    assert len(decay) == len(names)
    assert model.no_weight_decay()
    assert all(decay[id(names[name])] == 0 for name in model.no_weight_decay())
    assert all(decay[id(part)] == 0 for name, part in names.items() if name.endswith(".bias"))
    assert any(value == 0.05 for value in decay.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opt": "lamp"}, "Unknown --opt 'lamp'. Did you mean 'lamb'"),
        ({"sched": "cosin"}, "Unknown --sched 'cosin'. Did you mean 'cosine'"),
        ({"sched_options": {"decay_rat": 2}}, "--sched_options has no 'decay_rat'. Did you mean 'decay_rate'"),
        ({"opt_options": {"nonsense": 2}}, "--opt adamw cannot be used: .*nonsense"),
        ({"opt": "adahessian"}, "needs second derivatives"),
    ],
)
def test_wrong_optimisers_and_schedules(options, message):
    with pytest.raises(UserError, match=message):
        make_schedule(make_optimizer(tiny(), config(**options)), config(**options))


# Weights to begin from


def test_another_number_of_classes_and_channels(tmp_path):
    torch.manual_seed(0)
    source = tiny(num_classes=7, in_chans=3)
    source.save_pretrained(tmp_path / "three")
    target = tiny(num_classes=4, in_chans=1)
    fresh = {name: value.clone() for name, value in target.net.state_dict().items()}
    said = begin_from(target, tmp_path / "three")
    assert "a new head" in said
    state, old = target.net.state_dict(), source.net.state_dict()
    for name, value in state.items():
        if name.startswith("fc."):
            assert torch.equal(value, fresh[name])
        elif name == "conv1.0.weight":
            assert torch.allclose(value, old[name].sum(1, keepdim=True))
        else:
            assert torch.equal(value, old[name]), name


@pytest.mark.parametrize("form", ["file.pth", "file.safetensors", "timm"])
def test_weights_of_timms_own_files(tmp_path, form):
    from safetensors.torch import save_file

    source, target = tiny(), tiny()
    state = source.net.state_dict()
    if form == "file.pth":
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / form)
    elif form == "timm":
        timm.models.save_for_hf(source.net, tmp_path / form, safe_serialization=True)
    else:
        save_file(state, tmp_path / form)
    assert "its head" in begin_from(target, tmp_path / form)
    assert all(torch.equal(value, state[name]) for name, value in target.net.state_dict().items())


def test_weights_of_another_architecture(tmp_path):
    tiny().save_pretrained(tmp_path / "resnet")
    with pytest.raises(UserError, match="does not fit test_vit") as caught:
        begin_from(tiny(architecture="test_vit", img_size=(160, 160)), tmp_path / "resnet")
    assert "\n" not in str(caught.value)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": {"x": Evil()}}, tmp_path / "evil.pth")
    with pytest.raises(UserError):
        begin_from(tiny(), tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


# Models


@pytest.mark.parametrize("name", ["test_mamba_nd", "test_simba", "test_resnet"])
def test_a_model_is_timms(name, tmp_path):
    torch.manual_seed(0)
    model = ImageModel(ImageModelConfig(architecture=name, num_classes=5, in_chans=3))
    torch.manual_seed(0)
    reference = timm.create_model(name, num_classes=5)
    x = torch.randn(2, 3, *model.config.img_size)
    assert torch.equal(model.eval()(x), reference.eval()(x))
    model.save_pretrained(tmp_path / "m")
    again = ImageModel.from_pretrained(tmp_path / "m")
    assert again.config == model.config
    assert torch.equal(again(x), reference(x))
    assert torch.equal(model.net.get_classifier()(model.embed(x)), reference(x))


def test_our_names_build_by_the_suite():
    model = create_model("test_mamba_nd", num_classes=3, in_chans=2, img_size=(16, 24))
    assert model.name == "test_mamba_nd"
    assert model.eval()(torch.zeros(1, 2, 16, 24)).shape == (1, 3)


def test_checkpointed_activations_give_the_same_gradients():
    torch.manual_seed(0)
    model = ImageModel(ImageModelConfig(architecture="test_vit", num_classes=5)).eval()
    x = torch.randn(2, 3, 160, 160)
    model(x).logsumexp(1).sum().backward()
    plain = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    model.checkpoint_activations = True
    model.train()(x).logsumexp(1).sum().backward()
    again = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(plain, again, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "test_mamba_dn"}, "Unknown model 'test_mamba_dn'. Did you mean .*'test_mamba_nd'"),
        ({"model": "test_mamba_nd", "model_options": {"dept": 2}}, "test_mamba_nd with dept=2.*: .*dept"),
        ({"model": "test_vit", "img_size": (9, 7)}, "test_vit"),
    ],
)
def test_models_that_cannot_be_built(options, message):
    told = config(**options)
    with pytest.raises(UserError, match=message) as caught:
        make_model(told, open_labelled(told))
    assert "\n" not in str(caught.value)
