"""timm's tests whose model names are fixed, called with ours.

Run by `test_timm_suite.py` beside timm's `test_models.py` and `test_model_input.py`, whose functions these are.
"""

from __future__ import annotations

import importlib

import pytest
import timm
from our_names import NAMES

from tests import test_model_input, test_models

every_model = pytest.mark.parametrize("name", NAMES)
# Mamba-ND norms every map when asked to, as timm's plain transformers do, and has no `init_weights`.
pyramids = pytest.mark.parametrize("name", [name for name in NAMES if "simba" in name])


@every_model
def test_what_a_pruned_model_keeps_is_used(name):
    test_models.test_prune_intermediate_layers_params_used(name)


@every_model
def test_a_pruned_model_ends_at_its_last_map(name):
    test_models.test_forward_after_prune_intermediate_layers(name)


@every_model
def test_unsupported_pooling_is_refused(name):
    test_models.test_catavgmax_unsupported(name)


@every_model
def test_the_width_in_front_of_the_classifier(name):
    test_models.test_head_hidden_size(name, {})


@every_model
def test_a_checkpoint_without_classifier_loads(name, monkeypatch):
    # timm looks for the filter in the module of the class; ours lies in the module of the name.
    beside = importlib.import_module(type(timm.create_model(name)).__module__)
    registered = importlib.import_module(timm.model_entrypoint(name).__module__)
    monkeypatch.setattr(beside, "checkpoint_filter_fn", registered.checkpoint_filter_fn, raising=False)
    test_models.test_headless_checkpoint_reload(name, {})


@every_model
@pytest.mark.parametrize(("num_classes", "pool"), [(3, "avg"), (0, "")])
def test_a_hub_folder_keeps_the_reset_head(tmp_path, name, num_classes, pool):
    test_model_input.test_export_tracks_reset_pool_in_head(tmp_path, name, num_classes, pool)


@pytest.mark.parametrize("name", ["test_mamba_nd"])
def test_a_hub_folder_keeps_the_size(tmp_path, name):
    test_model_input.test_default_resize_hub_roundtrip(tmp_path, name, {}, 64, 96)


@pyramids
def test_stopping_early_skips_the_last_norm(name):
    test_models.test_forward_intermediates_stop_early_final_norm(name, {})


@pyramids
def test_weights_are_drawn_after_to_empty(name):
    test_models.test_model_init_weights_after_to_empty(name, {})
