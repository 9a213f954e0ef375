"""Every debug size keeps the model contract; every size has a config that builds a class."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seqsuite import plugins
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.models import create_model, list_models, model_config
from seqsuite.testing.models import MODEL_CLAUSES

# The clauses feed token ids; models of waveforms state their laws in their own tests.
DEBUG_SIZES = [name for name in plugins.names("models", "*_debug") if hasattr(model_config(name), "vocab_size")]


@pytest.mark.parametrize("name", DEBUG_SIZES)
@pytest.mark.parametrize("clause", MODEL_CLAUSES, ids=lambda clause: clause.__name__)
def test_debug_size_keeps_the_contract(name, clause, tmp_path):
    clause(name, tmp_path)


def test_every_family_has_a_debug_size():
    families = {model_config(name).model for name in list_models()}
    assert families == {model_config(name).model for name in list_models("*_debug")}


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
