"""Laws of the DiffWave model."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from seqaudio.configs.diffwave import SIZES, DiffWaveConfig, diffwave_sashimi_debug
from seqaudio.models.diffwave import DiffWave
from seqaudio.models.diffwave_layers import LEAST_VARIANCE, FrameNorm, Given, MelCondition, step_features
from seqaudio.models.diffwave_s4 import DiffWaveS4
from seqsuite.errors import UserError

TINY = DiffWaveConfig(
    d_model=6, n_layer=1, pool=(2, 3), d_state=4, step_embed_in=8, step_embed_mid=10, step_embed_out=12
)
VARIANTS = {
    "unet": TINY,
    "snet": replace(TINY, unet=False, n_layer=2),
    "limited": replace(TINY, kernel_length=12, n_ssm=2),
    "stereo": replace(TINY, audio_channels=2, pool=(4,)),
    "flat": replace(TINY, pool=()),
    "mel": replace(TINY, mel_upsample=(3, 2), n_mels=5),
    "odd_mel": replace(TINY, mel_upsample=(5,), n_mels=3, pool=(4,)),
}


def built(config, seed=0):
    """A model in float64 that no longer predicts 0."""
    torch.manual_seed(seed)
    model = DiffWave(config).double()
    for parameter in model.head.parameters():
        nn.init.normal_(parameter)
    return model


def batch(config, rows, length, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, length, config.audio_channels, generator=draw, dtype=torch.float64)
    steps = torch.randint(config.diffusion_steps, (rows,), generator=draw)
    if not config.conditional:
        return x, steps, {}
    mel = torch.randn(rows, config.n_mels, 1 + length // config.hop, generator=draw, dtype=torch.float64)
    return x, steps, {"mel": mel}


def test_at_first_it_predicts_no_noise():
    x, steps, _ = batch(TINY, 2, 12)
    assert torch.equal(DiffWave(TINY).double()(x, steps), torch.zeros_like(x))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("length", [1, 5, 12, 13, 31])
def test_any_length_and_every_parameter_takes_part(name, length):
    model = built(VARIANTS[name])
    x, steps, condition = batch(model.config, 2, length)
    out = model(x, steps, **condition)
    assert out.shape == x.shape
    out.square().mean().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        if length == 31:
            assert parameter.grad.abs().max() > 0, path


@pytest.mark.parametrize("name", VARIANTS)
def test_a_row_is_the_same_alone_and_in_a_padded_batch_whatever_the_padding_holds(name):
    model = built(VARIANTS[name])
    lengths = [31, 12, 7, 1]
    x, steps, condition = batch(model.config, 4, 31)
    for row, length in enumerate(lengths):
        x[row, length:] = math.nan
        for mel in condition.values():
            mel[row, :, -(-length // model.config.hop) :] = math.nan
    together = model(x, steps, lengths=torch.tensor(lengths), **condition)
    for row, length in enumerate(lengths):
        own = {key: mel[row : row + 1] for key, mel in condition.items()}
        alone = model(x[row : row + 1, :length], steps[row : row + 1], **own)
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-9, rtol=1e-9)


def test_padding_gets_no_gradient_and_spoils_none():
    model = built(VARIANTS["mel"])
    x, steps, condition = batch(model.config, 2, 20)
    x[1, 9:] = math.nan
    x.requires_grad_()
    out = model(x, steps, lengths=torch.tensor([20, 9]), **condition)
    (out[0].sum() + out[1, :9].sum()).backward()
    assert torch.equal(x.grad[1, 9:], torch.zeros(11, 1, dtype=torch.float64))
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["unet", "mel"])
def test_rows_do_not_see_each_other(name):
    model = built(VARIANTS[name])
    x, steps, condition = batch(model.config, 3, 18)
    order = [2, 0, 1]
    shuffled = model(x[order], steps[order], **{key: mel[order] for key, mel in condition.items()})
    torch.testing.assert_close(shuffled, model(x, steps, **condition)[order])


def test_the_ends_of_a_clip_see_each_other():
    model = built(TINY)
    x, steps, _ = batch(TINY, 1, 18)
    x.requires_grad_()
    out = model(x, steps)
    for seen, at in ((0, -1), (-1, 0)):
        assert torch.autograd.grad(out[0, seen].sum(), x, retain_graph=True)[0][0, at].abs().max() > 0


def test_the_step_and_its_fractions_matter():
    model = built(TINY)
    x, _, _ = batch(TINY, 1, 12)
    at = [model(x, torch.tensor([step])) for step in (3.0, 3.4, 4.0)]
    assert not torch.allclose(at[0], at[1])
    assert not torch.allclose(at[1], at[2])
    torch.testing.assert_close(at[0], model(x, torch.tensor([3])))


def test_step_features_are_sines_and_cosines_of_falling_frequencies():
    features = step_features(torch.tensor([0.0, 2.5]), 8, dtype=torch.float64)
    for place in range(4):
        angle = 2.5 * 10_000 ** (-place / 3)
        assert features[1, place].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert features[1, 4 + place].item() == pytest.approx(math.cos(angle), abs=1e-6)
    assert features[0].tolist() == [0] * 4 + [1] * 4
    assert step_features(torch.tensor([2]), 2).isfinite().all()


def test_frame_norm_is_the_formula_where_frames_vary():
    norm = FrameNorm().double()
    with torch.no_grad():
        norm.m.fill_(0.3)
        norm.s.fill_(1.7)
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = 1.7 / x.std(-1, correction=0, keepdim=True) * (x - x.mean(-1, keepdim=True) + 0.3)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("width", [1, 6])
@pytest.mark.parametrize("value", [0.0, -3.0, 1e4])
def test_constant_frames_stay_finite_and_so_do_their_gradients(width, value):
    norm = FrameNorm()
    x = torch.full((2, 3, width), value, requires_grad=True)
    norm(x).sum().backward()
    assert norm(x).abs().max() <= abs(value) * 1e-6 / math.sqrt(LEAST_VARIANCE)
    assert x.grad.isfinite().all()
    assert norm.m.grad.isfinite().all()


def test_silence_that_kills_every_channel_trains():
    model = built(TINY).float()
    with torch.no_grad():
        model.init_conv.bias.fill_(-1.0)  # behind the rectifier all channels are 0
    out = model(torch.zeros(2, 13, 1), torch.tensor([0, 5]))
    out.square().mean().backward()
    assert out.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_debug_size_learns_and_samples():
    torch.manual_seed(0)
    model = DiffWave(diffwave_sashimi_debug())
    process, draw = model.process(), torch.Generator().manual_seed(0)
    time_axis = torch.arange(64) / 64
    x0 = torch.stack([torch.sin(2 * math.pi * k * time_axis) for k in (2, 3, 4, 5)])[..., None].repeat(4, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = process.loss(model, x0, generator=draw).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1, abs=0.15)  # it predicts 0, noise has variance 1
    assert sum(losses[-10:]) / 10 < 0.6
    sample = process.fast((1e-4, 1e-2, 0.1, 0.5)).sample(model.eval(), (2, 37, 1), generator=draw)
    assert sample.shape == (2, 37, 1)
    assert sample.isfinite().all()


def test_samples_depend_on_the_seed_alone():
    model = built(VARIANTS["mel"]).eval()
    _, _, condition = batch(model.config, 2, 17)
    process = model.process().fast((1e-4, 0.05, 0.3))

    def draw(seed):
        start = torch.zeros(2, 17, 1, dtype=torch.float64)
        return process.sample(model, start, generator=torch.Generator().manual_seed(seed), condition=condition)

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_the_limited_layer_is_the_sum_over_its_reach():
    torch.manual_seed(0)
    layer = DiffWaveS4(3, d_state=4, limit=4).double()
    x = torch.randn(1, 11, 3, dtype=torch.float64)
    past, future = layer.kernel(4)
    y = torch.zeros_like(x)
    for t in range(11):
        for s in range(11):
            lag = t - s
            if 0 <= lag < 4:
                y[0, t] += past[:, lag] * x[0, s]
            elif -4 <= lag < 0:
                y[0, t] += future[:, -lag - 1] * x[0, s]
    expected = torch.nn.functional.glu(layer.output_linear(torch.nn.functional.gelu(y + layer.D[0] * x)))
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.kernel(3), layer.kernel(4)[..., :3])


def response_kernel(layer, length, *, conjugates):
    """The kernel as published: sums over modes at the roots of unity, with C attuned to the length."""
    system, C = layer.recurrence()
    given = layer.continuous()
    dt, A = given["dt"], given["A"] * given["dt"]
    tuned = system.attune(C, length)
    rows = {"b": given["B"], "p": given["P"][0]}
    columns = {"0": tuned[0], "1": tuned[1], "q": given["P"][0].conj()}
    # An odd length: no root is -1, where the published formula divides by 0.
    node = torch.exp(-2j * math.pi * torch.arange(length // 2 + 1, dtype=torch.float64) / length)
    z = 2 * (1 - node) / (1 + node)

    def total(row, column):
        v, w = rows[row] * columns[column] * dt, A
        if conjugates:
            v, w = torch.cat((v, v.conj()), -1), torch.cat((w, w.conj()), -1)
        return (v[..., None] / (z - w[..., None])).sum(-2)

    found = []
    for column in ("0", "1"):
        response = total("b", column) - total("p", column) * total("b", "q") / (1 + total("p", "q"))
        found.append(torch.fft.irfft(response * 2 / (1 + node), n=length))
    return torch.stack(found)


def test_the_two_kernels_are_sums_over_modes_with_and_without_conjugates():
    torch.manual_seed(0)
    exact = DiffWaveS4(3, d_state=6, limit=21).double()
    half = DiffWaveS4(3, d_state=6, limit=21, half_spectrum=True).double()
    half.load_state_dict(exact.state_dict())
    torch.testing.assert_close(exact.kernel(21), response_kernel(exact, 21, conjugates=True))
    torch.testing.assert_close(half.kernel(21), response_kernel(exact, 21, conjugates=False))
    torch.testing.assert_close(half.kernel(30), torch.nn.functional.pad(half.kernel(21), (0, 9)))
    assert (half.kernel(21) - exact.kernel(21)).abs().max() > 1e-2


@pytest.mark.parametrize("half", [False, True])
def test_a_kept_kernel_follows_weights_lengths_and_precision(half):
    torch.manual_seed(0)
    layer, other = (DiffWaveS4(3, d_state=4, limit=8, half_spectrum=half).eval() for _ in range(2))
    for length in (5, 8, 20, 5):
        with torch.no_grad():
            kept = [layer.kernel(length) for _ in range(2)]
        torch.testing.assert_close(kept[0], layer.kernel(length).detach())
        assert torch.equal(kept[0], kept[1])
    with torch.no_grad():
        layer.load_state_dict(other.state_dict())
        torch.testing.assert_close(layer.kernel(5), other.kernel(5))
        layer.inv_dt.add_(0.5)
        assert not torch.allclose(layer.kernel(5), other.kernel(5))
        assert layer.double().kernel(5).dtype == torch.float64
        assert copy.deepcopy(layer)._before is None


@pytest.mark.parametrize("limit", [1, 2, 8, 9])
def test_half_spectrum_kernels_are_finite_with_finite_gradients(limit):
    torch.manual_seed(0)
    layer = DiffWaveS4(2, d_state=4, limit=limit, half_spectrum=True)
    layer(torch.randn(1, 9, 2)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def mel_layers(alignment):
    config = replace(TINY, mel_upsample=(3, 4), n_mels=5, mel_alignment=alignment)
    torch.manual_seed(0)
    full = MelCondition(config, 6, 1).double()
    slow = MelCondition(config, 6, 6).double()
    slow.load_state_dict(full.state_dict())
    mel = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    return full, slow, Given(torch.zeros(2, 1), None, mel)


def test_a_pooled_mel_is_the_mean_over_the_samples_of_a_step():
    full, slow, given = mel_layers("pooled")
    expected = full(given, 48).unflatten(1, (8, 6)).mean(2)  # the projection is linear
    torch.testing.assert_close(slow(given, 8), expected)


def test_the_published_alignment_sees_the_beginning_of_the_clip_alone():
    full, slow, given = mel_layers("as_published")
    torch.testing.assert_close(slow(given, 8), full(given, 48)[:, :8])
    (grad,) = torch.autograd.grad(slow(given, 8).sum(), given.mel)
    assert grad[..., 2:].abs().max() == 0
    pooled = mel_layers("pooled")
    (grad,) = torch.autograd.grad(pooled[1](pooled[2], 8)[:, -1].sum(), pooled[2].mel)
    assert grad[..., -1].abs().max() > 0
    assert grad[..., 0].abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"d_model": 0}, "d_model"),
        ({"pool": (4, 0)}, r"pool\[1\]"),
        ({"d_state": 5}, "d_state"),
        ({"step_embed_in": 7}, "step_embed_in"),
        ({"n_ssm": 4}, "n_ssm"),
        ({"kernel_length": 2}, "kernel_length"),
        ({"s4_kernel": "half_spectrum"}, "kernel_length"),
        ({"beta_last": 1.0}, "beta_last"),
        ({"mel_upsample": (16, 0)}, "mel_upsample"),
        ({"mel_upsample": (16, 16), "mel_fmax": 9000.0}, "mel_fmax"),
        ({"mel_upsample": (16, 16), "mel_window": 2048}, "mel_window"),
    ],
)
def test_bad_configs_are_refused_in_one_line(changes, word):
    with pytest.raises(UserError, match=word) as told:
        DiffWave(replace(TINY, **changes))
    assert "\n" not in str(told.value)


def test_bad_input_is_refused_in_one_line():
    plain, vocoder = DiffWave(TINY), DiffWave(VARIANTS["mel"])
    x, steps, mel = torch.zeros(2, 12, 1), torch.zeros(2), torch.zeros(2, 5, 3)
    calls = {
        "x must be": lambda: plain(x[..., 0], steps),
        "L above 0": lambda: plain(x[:, :0], steps),
        "steps must be": lambda: plain(x, steps[:, None]),
        "lengths must be": lambda: plain(x, steps, lengths=torch.tensor([3])),
        "unconditional": lambda: plain(x, steps, mel=mel),
        "give mel=": lambda: vocoder(x, steps),
        "2 frames at least": lambda: vocoder(x, steps, mel=mel[..., :1]),
        "mel must be": lambda: vocoder(x, steps, mel=mel[:, :4]),
    }
    for word, call in calls.items():
        with pytest.raises(UserError, match=word) as told:
            call()
        assert "\n" not in str(told.value)


def test_named_sizes_are_those_of_the_training_configurations():
    import seqaudio.configs.diffwave as sizes

    configs = {name: getattr(sizes, name)() for name in SIZES}
    assert configs["diffwave_sashimi"].d_model == 2 * configs["diffwave_sashimi_small"].d_model == 128
    assert configs["diffwave_sashimi_ljspeech"].hop == 256
    for config in configs.values():
        assert config.n_layer in (1, 6)
        assert not config.kernel_length or config.kernel_length % config.total_pool == 0
