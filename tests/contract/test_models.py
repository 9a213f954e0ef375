"""Every debug size keeps the model contract; every size has a config that builds a class."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seqsuite import plugins
from seqsuite.errors import UnknownNameError
from seqsuite.models import create_model, list_models, model_config
from seqsuite.testing.models import MODEL_CLAUSES

DEBUG_SIZES = [name for name, plugin in plugins.names("models", "*_debug").items() if plugin in ("seqsuite", "seqdna")]


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


def test_configs_need_no_torch():
    script = (
        "import sys; from seqsuite.models import list_models, model_config;"
        "configs = [model_config(name) for name in list_models()];"
        "assert len(configs) > 5; assert 'torch' not in sys.modules, 'torch is imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
