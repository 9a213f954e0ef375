"""The laws of a mixer, each a function that raises AssertionError where it is broken.

    @pytest.mark.parametrize("law", MIXER_LAWS)
    def test_law(law):
        law(lambda: MyMixer(16, width=4))

A law takes a function that builds the mixer anew. Checks run in float64, to 1e-10 relative to the
largest value; a single float32 check uses the mixer's stated tolerance.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from seqsuite.mixers.base import Mixer, parameters_marked, run_reversed
from seqsuite.ops import Seq

Build = Callable[[], Mixer]
TOLERANCE = 1e-10
BATCH, LENGTH = 3, 13


def _double(build: Build) -> Mixer:
    torch.manual_seed(0)
    return build().double().eval()


def _input(mixer: Mixer, length: int = LENGTH, batch: int = BATCH, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, mixer.d_model, generator=generator, dtype=torch.float64)


def assert_close(got: Tensor, expected: Tensor, law: str, tolerance: float = TOLERANCE) -> None:
    """Demand that the largest difference is within `tolerance` of the largest expected value."""
    assert got.shape == expected.shape, f"{law}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    scale = expected.abs().max().clamp(min=1e-30)
    worst = ((got - expected).abs().max() / scale).item()
    assert worst <= tolerance, f"{law}: relative difference {worst:.3g} above {tolerance}"


def has_recurrence(mixer: Mixer) -> bool:
    """Return whether the mixer has the recurrent views; one that has not must say so."""
    told = None
    try:
        mixer.init_state(1, device="cpu", dtype=torch.float64)
    except NotImplementedError as error:
        told = str(error)
    assert told != "", f"{type(mixer).__name__}.init_state refuses, but does not say why"
    return told is None


def in_chunks(mixer: Mixer, x: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, tuple]:
    """Run `prefill` over consecutive chunks; the last size may be cut off by the end."""
    outputs, state, at = [], None, 0
    for size in sizes:
        out, state = mixer.prefill(x[:, at : at + size], state)
        outputs.append(out)
        at += size
    assert state is not None
    return torch.cat(outputs, 1), state


def in_steps(mixer: Mixer, x: Tensor) -> tuple[Tensor, tuple]:
    """Run `step` over every position."""
    state = mixer.init_state(len(x), device=x.device, dtype=x.dtype, max_length=x.shape[1])
    outputs = []
    for x_t in x.unbind(1):
        out, state = mixer.step(x_t, state)
        outputs.append(out)
    return torch.stack(outputs, 1), state


def views_agree(build: Build) -> None:
    """Whole, chunks of uneven sizes and single steps give the same outputs, states and gradients."""
    mixer = _double(build)
    if not has_recurrence(mixer):
        return
    x = _input(mixer).requires_grad_()
    whole = mixer(x)
    chunked, chunk_state = in_chunks(mixer, x, (1, 2, 7, 3))
    stepped, step_state = in_steps(mixer, x)
    assert_close(chunked, whole, "prefill in chunks == forward")
    assert_close(stepped, whole, "step in a loop == forward")
    for by_chunk, by_step in zip(chunk_state, step_state, strict=True):
        assert_close(by_chunk, by_step, "state after prefill == state after steps")
    weight = torch.randn_like(whole)
    (direct,) = torch.autograd.grad((whole * weight).sum(), x)
    for name, out in (("prefill", chunked), ("step", stepped)):
        (through,) = torch.autograd.grad((out * weight).sum(), x)
        assert_close(through, direct, f"gradient through the states of {name} == gradient of forward")


def sweep_agrees(build: Build) -> None:
    """A sequence on disk, chunk by chunk, gives what `forward` gives; a mixer that cannot must say so."""
    mixer = _double(build)
    x = _input(mixer)
    with torch.no_grad():
        whole = mixer(x)
        for size in (1, 5, x.shape[1]):
            out = torch.full_like(whole, torch.nan)
            told = None
            try:
                mixer.sweep(lambda start, end: x[:, start:end], out, chunk=size, scratch=_scratch)
            except NotImplementedError as error:
                told = str(error)
            assert told != "", f"{type(mixer).__name__}.sweep refuses, but does not say why"
            if told is not None:
                return
            assert_close(out, whole, f"sweep in chunks of {size} == forward")


def _scratch(*shape: int) -> Tensor:
    return torch.full(shape, torch.nan, dtype=torch.float64)


def states_fork(build: Build) -> None:
    """States are float32 (float64 for a float64 model), batch first, and calls leave them unchanged."""
    for dtype in (torch.float32, torch.float64):
        mixer = _double(build).to(dtype)
        if not has_recurrence(mixer):
            return
        x = _input(mixer).to(dtype)
        _, state = mixer.prefill(x[:, :5])
        kept = [part.clone() for part in state]
        assert all(part.dtype == dtype and len(part) == BATCH for part in state), f"state dtypes for {dtype}"
        first, _ = mixer.step(x[:, 5], state)
        mixer.prefill(x[:, 5:], state)
        second, _ = mixer.step(x[:, 5], state)
        assert torch.equal(first, second), "two continuations of one state differ"
        assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True)), "a call changed the state it was given"


def causal_as_stated(build: Build) -> None:
    """By gradient: a causal mixer's output at t depends on inputs up to t and on no later one."""
    mixer = _double(build)
    x = _input(mixer).requires_grad_()
    y = mixer(x)
    looked_ahead = False
    for t in (0, 4, LENGTH - 2):
        (gradient,) = torch.autograd.grad(y[:, t].square().sum(), x, retain_graph=True)
        assert gradient[:, t].abs().max() > 0, f"output {t} does not depend on its input"
        looked_ahead |= bool(gradient[:, t + 1 :].abs().max() > 0)
    assert looked_ahead != mixer.causal, f"causal is {mixer.causal}, by gradient it is {not looked_ahead}"


def rows_are_apart(build: Build) -> None:
    """A row's output is the same alone and in a batch."""
    mixer = _double(build)
    x = _input(mixer)
    whole = mixer(x)
    for row in range(BATCH):
        assert_close(mixer(x[row : row + 1]), whole[row : row + 1], "row alone == row in a batch")


def padding_is_invisible(build: Build) -> None:
    """Padding at either end changes no valid position, nor the state behind it; its content is never read."""
    mixer = _double(build)
    lengths = (LENGTH, 4, 9)
    x = _input(mixer)
    for side in ("right", "left"):
        seq = Seq.from_lengths(torch.tensor(lengths), LENGTH, side=side)  # type: ignore[arg-type]
        filled = x.clone().requires_grad_()
        padded = mixer(filled, seq=seq)
        assert seq.valid is not None
        (gradient,) = torch.autograd.grad(padded[seq.valid].square().sum(), filled)
        assert not gradient[~seq.valid].any(), f"{side} padding is read"
        for row, length in enumerate(lengths):
            part = slice(0, length) if side == "right" else slice(LENGTH - length, LENGTH)
            alone = mixer(x[row : row + 1, part])
            assert_close(padded[row : row + 1, part], alone, f"padded {side} == unpadded")
        if has_recurrence(mixer):
            _, state = mixer.prefill(x, seq=seq)
            for row, length in enumerate(lengths):
                part = slice(0, length) if side == "right" else slice(LENGTH - length, LENGTH)
                _, alone_state = mixer.prefill(x[row : row + 1, part])
                for ours, expected in zip(state, alone_state, strict=True):
                    assert_close(ours[row : row + 1], expected, f"state of a row padded {side} == unpadded")


def packing_is_invisible(build: Build) -> None:
    """Documents packed into a row give what they give alone."""
    mixer = _double(build)
    x = _input(mixer)
    bounds = ((0, 5, 6, LENGTH), (0, LENGTH), (0, 2, 8))
    packed = mixer(x, seq=Seq.from_cu_seqlens(bounds, LENGTH))
    for row, cuts in enumerate(bounds):
        for begin, end in pairwise(cuts):
            alone = mixer(x[row : row + 1, begin:end])
            assert_close(packed[row : row + 1, begin:end], alone, "packed == alone")


def reverse_is_flipped(build: Build) -> None:
    """Running from right to left equals flip, run, flip, also over padded and packed rows."""
    mixer = _double(build)
    x = _input(mixer)
    assert_close(run_reversed(mixer, x), mixer(x.flip(1)).flip(1), "reverse == flip, run, flip")
    bounds = ((0, 5, 6, LENGTH), (0, LENGTH), (0, 2, 8))
    packed = run_reversed(mixer, x, seq=Seq.from_cu_seqlens(bounds, LENGTH))
    for row, cuts in enumerate(bounds):
        for begin, end in pairwise(cuts):
            alone = mixer(x[row : row + 1, begin:end].flip(1)).flip(1)
            assert_close(packed[row : row + 1, begin:end], alone, "packed and reversed == alone and reversed")


def state_dict_is_all(build: Build) -> None:
    """The state dict determines the function, and `reset_parameters` redraws all that is random in it."""
    first, second = _double(build), build().double().eval()
    second.reset_parameters()
    x = _input(first)
    assert not torch.equal(first(x), second(x)), "two draws of the parameters are equal"
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x)), "a loaded state dict gives another function"


def marks_survive_copies(build: Build) -> None:
    """The parameters that the classes name carry their marks, also in a copy."""
    mixer = build()
    for marked in (mixer, copy.deepcopy(mixer)):
        for part in marked.modules():
            if isinstance(part, Mixer):
                missing = part.no_decay - parameters_marked(part, "_no_weight_decay")
                missing |= part.no_reinit - parameters_marked(part, "_no_reinit")
                assert not missing, f"{type(part).__name__}: {missing} are not marked; call mark_parameters()"


def float32_is_close(build: Build, tolerance: float = 2e-5) -> None:
    """In float32 every view is within `tolerance` of float64."""
    mixer = _double(build)
    x = _input(mixer)
    exact = mixer(x)
    single = mixer.float()
    assert_close(single(x.float()).double(), exact, "float32 forward", tolerance)
    if has_recurrence(single):
        assert_close(in_chunks(single, x.float(), (1, 2, 7, 3))[0].double(), exact, "float32 prefill", tolerance)
        assert_close(in_steps(single, x.float())[0].double(), exact, "float32 step", tolerance)


MIXER_LAWS = (
    views_agree,
    sweep_agrees,
    states_fork,
    causal_as_stated,
    rows_are_apart,
    padding_is_invisible,
    packing_is_invisible,
    reverse_is_flipped,
    state_dict_is_all,
    marks_survive_copies,
    float32_is_close,
)
"""Every law, for `pytest.mark.parametrize`."""


def check_mixer(build: Build) -> None:
    """Check every law.

    Args:
        build: Builds the mixer with fresh parameters.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    for law in MIXER_LAWS:
        law(build)
