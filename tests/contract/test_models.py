"""Every debug size keeps the model contract; every size has a config that builds a class."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from seqsuite import plugins
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.models import create_model, list_models, load_model, model_config
from seqsuite.testing.models import MODEL_CLAUSES

# The clauses feed token ids; models of waveforms, grids and series state their laws in their own tests.
DEBUG_SIZES = [name for name in plugins.names("models", "*_debug") if hasattr(model_config(name), "vocab_size")]
# Models of timm's registry bear its names; it calls its small sizes test_*.
IMAGE_SIZES = [name for name in plugins.names("models") if hasattr(model_config(name), "architecture")]
SMALL_IMAGE_SIZES = [name for name in IMAGE_SIZES if name.startswith("test_")]


@pytest.mark.parametrize("name", DEBUG_SIZES)
@pytest.mark.parametrize("clause", MODEL_CLAUSES, ids=lambda clause: clause.__name__)
def test_debug_size_keeps_the_contract(name, clause, tmp_path):
    clause(name, tmp_path)


def test_every_family_has_a_debug_size():
    families = {model_config(name).model for name in list_models()}
    small = [*list_models("*_debug"), *SMALL_IMAGE_SIZES]
    assert families == {model_config(name).model for name in small}


@pytest.fixture(params=SMALL_IMAGE_SIZES)
def image_model(request):
    """A small classifier of three classes, and inputs for it."""
    torch.manual_seed(0)
    model = create_model(request.param, num_classes=3).eval()
    inputs = torch.randn(2, model.config.in_chans, *model.config.img_size, generator=torch.Generator().manual_seed(1))
    return model, inputs


def test_an_image_model_is_the_head_of_its_features(image_model):
    model, inputs = image_model
    with torch.no_grad():
        logits = model(inputs)
        assert logits.shape == (2, 3)
        assert logits.isfinite().all()
        torch.testing.assert_close(model.forward_head(model.forward_features(inputs)), logits)
        assert model.embed(inputs).shape[0] == 2


def test_an_image_model_learns_with_every_parameter(image_model):
    model, inputs = image_model
    model.train()
    labels, losses = torch.tensor([0, 2]), []
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        for path, parameter in model.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.no_weight_decay() <= {path for path, _ in model.named_parameters()}


def test_an_image_model_survives_its_export(image_model, tmp_path):
    model, inputs = image_model
    model.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert (type(again), again.config, again.name) == (type(model), model.config, model.name)
    with torch.no_grad():
        assert torch.equal(again(inputs), model(inputs))
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert not {field.name for field in dataclasses.fields(model.config)} - set(written)


@pytest.mark.parametrize("name", IMAGE_SIZES)
def test_an_image_size_is_a_name_of_timm(name):
    import timm

    import seqvision.models  # noqa: F401 - fills timm's registry

    assert model_config(name).architecture == name
    assert timm.is_model(name)
    with pytest.raises(UnknownNameError, match="no_such_option"):
        create_model(name, no_such_option=1)


def test_names_are_listed_with_wildcards_and_near_names_suggested():
    assert {"caduceus_ps", "caduceus_ps_debug"} <= set(list_models("caduceus_ps*"))
    assert not set(list_models("caduceus_ps*")) & set(list_models("caduceus_ph*"))
    with pytest.raises(UnknownNameError, match="Did you mean 'caduceus_ps'"):
        create_model("caduceus_sp")


@pytest.mark.parametrize("name", [None, 3])
def test_a_name_that_is_none_is_one_line(name):
    with pytest.raises(UserError, match=f"^create_model: name must be str, not {name}"):
        create_model(name)


@pytest.mark.parametrize("name", DEBUG_SIZES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm_epsilon": 0}, "norm_epsilon must be above 0, not 0.0"),
        ({"norm_epsilon": float("nan")}, "norm_epsilon must be finite, not nan"),
        ({"initializer_range": -0.1}, "initializer_range must be at least 0, not -0.1"),
        ({"mixer_options": {"d_model": 5}}, r"mixer '\w+': d_model is not an option"),
    ],
)
def test_values_out_of_range_are_one_line(name, options, message):
    with pytest.raises(UserError, match=message) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)


def test_configs_need_no_torch():
    script = (
        "import sys; from seqsuite.models import list_models, model_config;"
        "configs = [model_config(name) for name in list_models()];"
        "assert len(configs) > 5; assert 'torch' not in sys.modules, 'torch is imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
