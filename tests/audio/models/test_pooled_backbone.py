"""The laws of the pooled backbone: one function in three views, nothing looks ahead, padding changes nothing."""

from __future__ import annotations

import math

import pytest
import torch

from seqsuite.backbones.pooled_layers import DownPool, UpPool, residual_blocks
from seqsuite.backbones.unet import PooledBackbone
from seqsuite.errors import UserError
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.ops import NonFiniteError, Seq
from seqsuite.testing.mixers import assert_close

WIDTH, LENGTH = 6, 29
TOPOLOGIES = pytest.mark.parametrize("unet", [False, True], ids=["snet", "unet"])
SMALL = {"s4": {"d_state": 4}, "s4d": {"d_state": 4}, "mamba": {"d_state": 4}, "tcn": {"levels": 1}, "gru": {}}
MIXERS = pytest.mark.parametrize("mixer", SMALL)


def build(unet, mixer="s4", n_layer=2, pool=(4, 2), dtype=torch.float64, **options) -> PooledBackbone:
    torch.manual_seed(0)
    blocks = residual_blocks(mixer, n_layer, mixer_options=SMALL[mixer])
    return PooledBackbone(WIDTH, blocks, pool=pool, unet=unet, **options).to(dtype).eval()


def noise(*shape, seed=1, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def in_chunks(model, x, sizes):
    outputs, state, at = [], None, 0
    for size in sizes:
        out, state = model.prefill(x[:, at : at + size], state)
        outputs.append(out)
        at += size
    assert at >= x.shape[1]
    return torch.cat(outputs, 1), state


def in_steps(model, x, state=None):
    state = model.init_state(len(x), device=x.device, dtype=x.dtype) if state is None else state
    outputs = []
    for x_t in x.unbind(1):
        out, state = model.step(x_t, state)
        outputs.append(out)
    return torch.stack(outputs, 1), state


def leaves(state) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in leaves(part)]


@TOPOLOGIES
@MIXERS
def test_chunks_and_steps_are_the_whole(unet, mixer):
    model, x = build(unet, mixer), noise(3, LENGTH, WIDTH).requires_grad_()
    whole = model(x)
    weight = noise(*whole.shape, seed=2)
    (direct,) = torch.autograd.grad((whole * weight).sum(), x)
    chunked, by_chunk = in_chunks(model, x, (1, 2, 7, 3, 1, 15))
    stepped, by_step = in_steps(model, x)
    for name, out in (("prefill", chunked), ("step", stepped)):
        assert_close(out, whole, f"{name} == forward")
        (through,) = torch.autograd.grad((out * weight).sum(), x)
        assert_close(through, direct, f"gradient through {name}")
    assert len(leaves(by_chunk)) == len(leaves(by_step)) > 6
    for ours, expected in zip(leaves(by_chunk), leaves(by_step), strict=True):
        assert_close(ours, expected, "state behind prefill == state behind steps")


@TOPOLOGIES
@pytest.mark.parametrize(("pool", "n_layer"), [((), 2), ((3,), 1), ((2, 2, 2), 1), ((1, 4), 1), ((2, 2), 8)])
@torch.no_grad()
def test_every_depth_and_pooling_steps(unet, pool, n_layer):
    length = 3 * math.prod(pool) + 5
    model, x = build(unet, n_layer=n_layer, pool=pool), noise(2, length, WIDTH)
    whole = model(x)
    assert_close(in_steps(model, x)[0], whole, "step == forward")
    for size in (1, 3, length) if n_layer < 8 else (3,):
        chunked, _ = in_chunks(model, x, [size] * -(-length // size))
        assert_close(chunked, whole, f"prefill of {size} == forward")
    single = model.float()
    assert (in_steps(single, x.float())[0] - whole).abs().max() < 1e-4
    assert (in_chunks(single, x.float(), [3] * -(-length // 3))[0] - whole).abs().max() < 1e-4


@TOPOLOGIES
@torch.no_grad()
def test_no_output_sees_a_later_input(unet):
    # A random vector: the norms do not see one that is the same for all channels.
    model, x = build(unet), noise(1, LENGTH, WIDTH)
    assert model.causal
    whole = model(x)
    for at in range(LENGTH):
        other = x.clone()
        other[:, at] += noise(1, WIDTH, seed=at + 2)
        moved = (model(other) - whole).abs().amax((0, 2))
        # Convolutions by FFT spread rounding errors over all steps.
        assert at == 0 or moved[:at].max() < 1e-12, f"input {at} reaches an output before it"
        assert moved[at:].min() > 1e-8, f"input {at} is lost behind it"


@TOPOLOGIES
def test_without_the_shift_it_looks_ahead_and_does_not_step(unet):
    model, x = build(unet, shift=False), noise(1, 8, WIDTH)
    other = x.clone()
    other[:, 7] += noise(1, WIDTH, seed=2)
    assert (model(other) - model(x))[:, 0].abs().max() > 1e-8
    assert not model.causal
    for call in (lambda: model.prefill(x), lambda: model.init_state(1, device="cpu", dtype=x.dtype)):
        with pytest.raises(NotImplementedError, match="looks ahead"):
            call()


@TOPOLOGIES
@MIXERS
@torch.no_grad()
def test_rows_of_unequal_length_go_on_from_their_own_ends(unet, mixer):
    model, x, rest = build(unet, mixer), noise(4, LENGTH, WIDTH), noise(4, 11, WIDTH, seed=2)
    lengths = (LENGTH, 9, 22, 3)
    padded = x.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = 1e6
    seq = Seq.from_lengths(lengths, LENGTH)
    whole, (filled, state) = model(padded, seq=seq), model.prefill(padded, seq=seq)
    stepped, _ = in_steps(model, rest, state)
    chunked, _ = model.prefill(rest, state)
    for row, length in enumerate(lengths):
        alone = model(torch.cat((x[row : row + 1, :length], rest[row : row + 1]), 1))
        assert_close(whole[row : row + 1, :length], alone[:, :length], "padded == unpadded")
        assert_close(filled[row : row + 1, :length], alone[:, :length], "prefill of padded rows == unpadded")
        assert_close(stepped[row : row + 1], alone[:, length:], "steps behind padded rows")
        assert_close(chunked[row : row + 1], alone[:, length:], "a chunk behind padded rows")


@TOPOLOGIES
def test_padding_is_not_read(unet):
    model, x = build(unet), noise(2, LENGTH, WIDTH).requires_grad_()
    seq = Seq.from_lengths((LENGTH, 10), LENGTH)
    for out in (model(x, seq=seq), model.prefill(x, seq=seq)[0]):
        (gradient,) = torch.autograd.grad(out[seq.valid].square().sum(), x)
        assert not gradient[~seq.valid].any()
        assert gradient[seq.valid].any(-1).all()


@TOPOLOGIES
@torch.no_grad()
def test_both_ways_padding_changes_nothing_and_every_length_goes(unet):
    torch.manual_seed(0)
    blocks = residual_blocks("mamba", 1, mixer_options=SMALL["mamba"], wrap=Bidirectional)
    model = PooledBackbone(WIDTH, blocks, pool=(4, 2), unet=unet, shift=False).double().eval()
    x, lengths = noise(3, LENGTH, WIDTH), (LENGTH, 8, 13)
    padded = model(x, seq=Seq.from_lengths(lengths, LENGTH))
    for row, length in enumerate(lengths):
        assert_close(padded[row : row + 1, :length], model(x[row : row + 1, :length]), "padded == unpadded")


@TOPOLOGIES
@torch.no_grad()
def test_states_fork_and_calls_leave_them_as_they_are(unet):
    for dtype in (torch.float32, torch.float64):
        model, x = build(unet, dtype=dtype), noise(3, LENGTH, WIDTH, dtype=dtype)
        _, state = model.prefill(x[:, :7])
        kept = [leaf.clone() for leaf in leaves(state)]
        assert all(len(leaf) == 3 and leaf.dtype in (dtype, torch.int64) for leaf in kept)
        first, _ = model.step(x[:, 7], state)
        model.prefill(x[:, 7:], state)
        again, _ = model.step(x[:, 7], state)
        assert torch.equal(first, again)
        assert all(torch.equal(a, b) for a, b in zip(leaves(state), kept, strict=True))


@TOPOLOGIES
def test_checkpointing_gives_the_same_gradients(unet):
    model, x = build(unet), noise(1, LENGTH, WIDTH)
    found = []
    for on in (False, True):
        model.checkpoint_activations = on
        model.zero_grad()
        model(x).square().sum().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_pools_pack_channels_outermost_and_shift_by_one_pooled_step():
    down, up = DownPool(2, 6, 3), UpPool(6, 2, 3)
    with torch.no_grad():
        for layer in (down.linear, up.linear):
            layer.weight.copy_(torch.eye(6))
            layer.bias.zero_()
    x = torch.arange(12.0).reshape(1, 6, 2)  # step t has the channels 2 t and 2 t + 1
    joined = down(x)
    assert joined.tolist() == [[[0, 2, 4, 1, 3, 5], [6, 8, 10, 7, 9, 11]]]
    assert torch.equal(up.expand(joined), x)
    assert torch.equal(up(joined), torch.cat((torch.zeros(1, 3, 2), x[:, :3]), 1))
    unshifted = UpPool(6, 2, 3, shift=False)
    unshifted.load_state_dict(up.state_dict())
    assert torch.equal(unshifted(joined), x)


@pytest.mark.parametrize(
    "seq",
    [Seq.from_lengths((5, 8), 8, side="left"), Seq.from_cu_seqlens([(0, 3, 8), (0, 8)], 8)],
    ids=["left", "packed"],
)
def test_rows_that_do_not_pool_are_refused_in_one_line(seq):
    with pytest.raises(UserError, match="padded on the right") as caught:
        build(False)(noise(2, 8, WIDTH), seq=seq)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("view", ["forward", "prefill", "step"])
def test_a_nan_names_its_layer(view, monkeypatch):
    monkeypatch.setenv("SEQSUITE_DEBUG", "nan")
    model = build(unet=True)
    model(noise(2, LENGTH, WIDTH))
    with torch.no_grad():
        model.up_blocks[1][2].layer.D.fill_(torch.inf)
    run = {"forward": model, "prefill": model.prefill, "step": lambda x: in_steps(model, x)}[view]
    with pytest.raises(NonFiniteError, match=r"^layer up_blocks\.1\.2, S4: "):
        run(noise(2, LENGTH, WIDTH))
