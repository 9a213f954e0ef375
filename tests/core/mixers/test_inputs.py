"""Every mixer: what it says of an input that does not fit, and that it needs no float64 where a device has none."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqsuite.mixers import _rotary, create_mixer, list_mixers
from seqsuite.ops import Seq

NAMES = list_mixers()
RECURRENT = [name for name in NAMES if create_mixer(name, 6).recurrent]
IN_DOUBLE = {"s4", "s4d"}  # their filters are made in double precision
IN_CUDNN = {"gru", "lstm"}  # PyTorch's own layers, which ask the driver


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4, 6), (2, 4, 5), (2, 0, 6), (2, 1, 4, 6)])
def test_a_shape_that_does_not_fit_is_named(name, shape):
    mixer = create_mixer(name, 6)
    views = [mixer.forward, mixer.prefill] if mixer.recurrent else [mixer.forward]
    for view in views:
        with pytest.raises(ValueError, match=r"^\w+: x must be \(B, L, D\) with D = 6 and L > 0, got ") as caught:
            view(torch.zeros(shape))
        assert str(caught.value).endswith(f"got {shape}")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_sequence_is_named(name):
    mixer, x = create_mixer(name, 6), torch.zeros(2, 4, 6)
    with pytest.raises(TypeError, match=r"^\w+: x must be floating-point, not torch.int64$"):
        mixer(x.long())
    with pytest.raises(TypeError, match=r"^\w+: x must be a tensor, not list$"):
        mixer(x.tolist())
    with pytest.raises(TypeError, match=r"^seq must be a Seq \(Seq.from_mask makes one of a mask\), not Tensor$"):
        mixer(x, seq=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"^seq.valid is \(2, 5\), the input is \(2, 4\)$"):
        mixer(x, seq=Seq.from_lengths([1, 2], 5))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_state_of_other_rows_is_refused(name):
    """Some parts would be broadcast to the rows of the input."""
    mixer = create_mixer(name, 6)
    for rows in (1, 3):
        state = mixer.init_state(rows, device="cpu", dtype=torch.float32, max_length=8)
        message = r"^\w+: state.\w+ must have the 2 rows of the input, got "
        with pytest.raises(ValueError, match=message):
            mixer.prefill(torch.zeros(2, 4, 6), state)
        with pytest.raises(ValueError, match=message):
            mixer.step(torch.zeros(2, 6), state)
    with pytest.raises(TypeError, match=r"^\w+: state must be what prefill, step or init_state returned, not Tensor$"):
        mixer.prefill(torch.zeros(2, 4, 6), torch.zeros(2, 6))
    with pytest.raises(ValueError, match=r"^\w+: x_t must be \(B, D\) with D = 6, got \(2, 1, 6\)$"):
        mixer.step(torch.zeros(2, 1, 6), mixer.init_state(2, device="cpu", dtype=torch.float32, max_length=8))


class WithoutDouble(TorchDispatchMode):
    """Refuses what a device without float64 would refuse."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.device.type == "cuda":
                assert x.dtype not in (torch.float64, torch.complex128), f"{func} makes {x.dtype}"
        return out


@pytest.mark.parametrize("name", sorted(set(NAMES) - IN_DOUBLE - IN_CUDNN))
def test_nothing_is_in_double_precision_on_a_device_without_it(name, monkeypatch):
    """Tensors without data stand for those of such a device; what is computed on the CPU may be in float64."""
    monkeypatch.setattr(_rotary, "WITHOUT_DOUBLE", ("cuda",))
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            mixer = create_mixer(name, 8)
        x = torch.empty(2, 9, 8, device="cuda")
        with WithoutDouble():
            assert mixer(x).dtype == torch.float32
            assert mixer(x).device.type == "cuda"


def test_angles_far_out_are_exact():
    place = torch.tensor([[0, 1, 79_999]])
    here = _rotary.cos_sin(place, 3, 1e4, span=2, dtype=torch.float32)
    exact = place[..., None].double() * torch.tensor([1, 1e-2, 1e-4], dtype=torch.float64)
    for found, expected in zip(here, (exact.cos(), exact.sin()), strict=True):
        torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-7)
