"""The engine equals the parallel form, whatever runs it; it carries over a model's state, and says what it took."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from _small import small

from seqaudio.generation import building
from seqaudio.generation.building import NativeError
from seqaudio.generation.engine import Engine
from seqaudio.generation.plan import eigenbasis_condition, make_plan
from seqaudio.generation.sampling import Draws, Streams
from seqsuite.errors import UserError
from seqsuite.mixers.s4 import S4

PATHS = {"on": "native", "off": "eager"}


def stepped(engine: Engine, codes: torch.Tensor) -> torch.Tensor:
    return torch.stack([engine.step(codes[:, t]).clone() for t in range(codes.shape[1])], 1)


def codes_of(batch: int, length: int) -> torch.Tensor:
    return torch.randint(256, (batch, length), generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("how", PATHS)
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("unet", [False, True])
def test_engine_equals_parallel_form_at_depth_8(how, batch, unet):
    model = small(unet=unet, n_layer=8, pool=(4, 4)).model
    codes = codes_of(batch, 320)
    with torch.inference_mode():
        wanted = model(codes)
    engine = Engine(model, batch, compile=how)
    assert engine.path == PATHS[how]
    torch.testing.assert_close(stepped(engine, codes), wanted, atol=1e-4, rtol=0)


OPTIONS = [
    {"mixer": "s4", "mixer_options": {"d_state": 64}},  # one state matrix a channel, eigenvectors that are useless
    {"mixer": "s4", "mixer_options": {"d_state": 8, "rank": 2, "init": "legt", "output": "linear"}},
    {"mixer": "s4", "mixer_options": {"d_state": 34, "output": "none", "activation": "relu", "dt_tie": False}},
    {"mixer": "s4d", "mixer_options": {"d_state": 64, "channels": 2, "activation": "silu"}},
    {"mixer": "s4d", "mixer_options": {"d_state": 6, "bandlimit": 0.1, "activation": "none"}},
    {"mixer": "s5", "mixer_options": {"d_state": 12}},
    {"mixer": "s5", "mixer_options": {"d_state": 5, "conj_sym": False}},
    {"mixer": "s4, s5", "n_layer": 2, "mixer_options": {"s4": {"d_state": 8}, "s5": {"d_state": 8}}},
    {"norm": "frame"},
    {"pool": ()},
    {"pool": (3, 1, 2), "expand": 1, "unet": True},
    {"ff": 0, "bits": 6},
    {"d_model": 20},  # no multiple of the width of a vector
]


@pytest.mark.parametrize("how", PATHS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_kind_of_layer(how, options):
    model = small(**options).model
    with torch.no_grad():  # norms and biases that are not neutral
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
    codes = codes_of(5, 60) % model.config.vocab_size
    with torch.inference_mode():
        wanted = model(codes)
    engine = Engine(model, 5, compile=how)
    assert engine.path == PATHS[how]
    torch.testing.assert_close(stepped(engine, codes), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("how", PATHS)
@pytest.mark.parametrize("unet", [False, True])
@pytest.mark.parametrize("length", [1, 3, 8, 37])
def test_prefill_then_steps_equals_steps(how, unet, length):
    model = small(unet=unet).model
    codes = codes_of(3, 60)
    with torch.inference_mode():
        wanted = model(codes)
    engine = Engine(model, 3, compile=how)
    engine.step(codes[:, 9])  # what went before is forgotten
    engine.prefill(codes[:, :length])
    torch.testing.assert_close(stepped(engine, codes[:, length:]), wanted[:, length:], atol=1e-4, rtol=0)
    engine.reset()
    torch.testing.assert_close(stepped(engine, codes), wanted, atol=1e-4, rtol=0)


def test_one_prompt_for_all_rows(model):
    codes = codes_of(1, 20)
    engine, single = Engine(model.model, 4), Engine(model.model, 1)
    engine.prefill(codes)
    single.prefill(codes)
    token = torch.full((4,), 17)
    torch.testing.assert_close(engine.step(token), single.step(token[:1]).expand(4, -1), atol=1e-5, rtol=0)


def test_other_mixers_run_their_own_step():
    model = small(mixer="mamba", mixer_options={"d_state": 4}).model
    codes = codes_of(2, 40)
    with torch.inference_mode():
        wanted = model(codes)
    engine = Engine(model, 2)
    assert engine.path == "model"
    assert "mamba" in engine.why
    engine.prefill(codes[:1, :5])
    engine.reset()
    torch.testing.assert_close(stepped(engine, codes), wanted, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match=r"--compile on.*mamba"):
        Engine(model, 2, compile="on")


def test_run_draws_what_steps_and_the_law_give(model):
    draws, count = Draws(0.8, 50, 0.9), 200
    uniforms = Streams([1, 2, 3]).take(count)
    start = torch.full((3,), 128)
    fast = Engine(model.model, 3, compile="on").run(start, uniforms, draws)
    slow = Engine(model.model, 3, compile="off").run(start, uniforms, draws)
    assert torch.equal(fast[0], slow[0])
    torch.testing.assert_close(fast[1], slow[1], atol=1e-4, rtol=0)


def test_engine_refuses_what_cannot_run(model):
    with pytest.raises(ValueError, match="evaluation mode"):
        Engine(small().model.train(), 1)
    with pytest.raises(UserError, match="does not run"):
        Engine(small(head="classification").model, 1)
    engine = Engine(model.model, 2)
    with pytest.raises(ValueError, match="codes must be 0 to 255"):
        engine.step(torch.tensor([0, 256]))
    with pytest.raises(ValueError, match=r"must be \(2,\)"):
        engine.step(torch.tensor([0]))
    state = model.model.init_state(2)
    tier = state.tiers[0]._replace(phase=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="same sample"):
        engine.load(state._replace(tiers=(tier, *state.tiers[1:])))


def test_a_machine_without_compiler_runs_on_torch(model, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    building.load_library.cache_clear()
    try:
        engine = Engine(model.model, 1, compile="auto")
        assert engine.path == "eager"
        assert "no C++ compiler" in engine.why
        with pytest.raises(UserError, match=r"--compile on: no C.. compiler") as caught:
            Engine(model.model, 1, compile="on")
        assert "\n" not in str(caught.value)
    finally:
        building.load_library.cache_clear()


def test_a_compiler_that_fails_says_so_in_one_line(monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'x.cpp:1: error: nothing works' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("SEQSUITE_CACHE", str(tmp_path / "cache"))
    building.load_library.cache_clear()
    try:
        with pytest.raises(NativeError, match="nothing works") as caught:
            building.load_library()
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "cache").rglob("*.so"))
    finally:
        building.load_library.cache_clear()


def test_machine_code_is_built_once_and_kept(tmp_path):
    """A second process loads what the first built."""
    program = "from seqaudio.generation.building import load_library; load_library()"
    environment = os.environ | {"SEQSUITE_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    (library,) = tmp_path.rglob("*.so")
    built = library.stat().st_mtime_ns
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*.so")] == [built]


def test_eigenvectors_of_hippo_are_useless_and_those_of_a_diagonal_system_are_not():
    assert eigenbasis_condition(S4(4, d_state=64, n_ssm=1)) > 1e8
    from seqsuite.mixers.s4d import S4D

    assert eigenbasis_condition(S4D(4, d_state=16)) < 10


def test_a_plan_needs_a_causal_model_for_samples():
    assert make_plan(small(head="none").model) is None
    assert make_plan(small(norm="frame").model) is not None
