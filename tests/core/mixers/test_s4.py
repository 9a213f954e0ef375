"""S4 against dense matrices, its laws beyond the defaults, its initial values, its published form, its options."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.mixers.hippo import low_rank, nplr, transition
from seqsuite.mixers.options import check_arguments
from seqsuite.mixers.s4 import S4, s4_from_published, s4_options_from_published, s4_to_published
from seqsuite.ops import Seq
from seqsuite.testing.mixers import MIXER_LAWS
from seqsuite.training.optim import parameter_groups

VARIANTS = {
    "default": {},
    "legt, shared, channels": {
        "d_state": 8,
        "n_ssm": 2,
        "channels": 2,
        "rank": 3,
        "init": "legt",
        "dt_transform": "softplus",
        "bandlimit": 1.0,
        "dt_tie": False,
    },
    "hippo, linear output": {"d_state": 8, "init": "hippo", "output": "linear", "activation": "silu"},
    "bidirectional, no output": {"d_state": 8, "bidirectional": True, "output": "none"},
}


def build(**options):
    torch.manual_seed(0)
    mixer = S4(4, **{"d_state": 8, **options}).double()
    with torch.no_grad():
        for parameter in mixer.parameters():  # no parameter keeps a special initial value
            parameter.add_(0.1 * torch.randn_like(parameter))
    return mixer


def dense(mixer, head):
    """One head's A, B on modes and conjugates, discretised by an inverse matrix."""
    row = head % mixer.n_ssm
    both = lambda x: torch.cat((x, x.conj()))  # noqa: E731
    A = torch.diag(both(torch.complex(-mixer.A_real[row].exp(), -mixer.A_imag[row])))
    for column in torch.view_as_complex(mixer.P[:, row]):
        A = A - both(column)[:, None] * both(column).conj()
    assert torch.linalg.eigvals(A).real.max() < 0, "the state matrix is not stable"
    dt = mixer.inv_dt[head].exp() if mixer.dt_transform == "exp" else F.softplus(mixer.inv_dt[head])
    dt = torch.diag(both(dt.expand(A.shape[0] // 2).to(A.dtype)))
    unit = torch.eye(len(A), dtype=A.dtype)
    inverse = torch.linalg.inv(unit - dt @ A / 2)
    return inverse @ (unit + dt @ A / 2), inverse @ dt @ both(torch.view_as_complex(mixer.B[row]))


def literal(mixer, x):
    """The layer from its definition: dense recurrences, one step after the other."""
    C = torch.view_as_complex(mixer.C)
    channels = []
    for rows, order in ((C[: mixer.channels], 1), (C[mixer.channels :], -1)):
        for head in range(4 if len(rows) else 0):
            dA, dB = dense(mixer, head)
            row = torch.cat((rows[:, head], rows[:, head].conj()), -1)
            state, outputs = torch.zeros(len(x), len(dA), dtype=dA.dtype), []
            for u in list(x[..., head].unbind(1))[::order]:
                after = state @ dA.T + dB * u[:, None]
                # What looks ahead begins with the next step.
                outputs.append(((after if order == 1 else state) @ row.T).real)
                state = after
            channels.append((head, torch.stack(outputs[::order], 1)))  # (B, L, C)
    y = torch.stack([sum(y for at, y in channels if at == head) for head in range(4)], -1) + mixer.D * x[:, :, None]
    y = F.gelu(y).flatten(2)
    out = F.linear(y, mixer.output_linear.weight, mixer.output_linear.bias)
    return out[..., :4] * torch.sigmoid(out[..., 4:])


@pytest.mark.parametrize("length", [1, 13, 40])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_ssm": 1, "channels": 3, "dt_transform": "softplus"},
        {"rank": 2, "init": "legt", "n_ssm": 2, "dt_tie": False},
        {"bidirectional": True, "channels": 2},
    ],
)
def test_the_mixer_is_its_definition(options, length):
    mixer = build(**options)
    x = torch.randn(2, length, 4, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), literal(mixer, x), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("law", MIXER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_laws(variant, law):
    law(lambda: S4(6, **VARIANTS[variant]))


def test_long_chunks_padded_packed_and_continued():
    mixer = build(channels=2)
    x = torch.randn(2, 90, 4, dtype=torch.float64)
    whole, last = mixer.prefill(x)
    _, state = mixer.prefill(x[:, :30])
    seq = Seq.from_resets(torch.arange(60).expand(2, 60) == torch.tensor([[70], [25]]))  # row 1: a new document
    second, behind = mixer.prefill(x[:, 30:], state, seq=seq)
    torch.testing.assert_close(second[0], whole[0, 30:], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(behind.ssm[0], last.ssm[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(second[1, :25], whole[1, 30:55], rtol=1e-9, atol=1e-10)
    alone, fresh = mixer.prefill(x[1:, 55:])
    torch.testing.assert_close(second[1:, 25:], alone, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(behind.ssm[1:], fresh.ssm, rtol=1e-9, atol=1e-10)


def test_padding_within_a_row_is_skipped_from_a_state():
    mixer = build()
    x = torch.randn(1, 40, 4, dtype=torch.float64)
    _, state = mixer.prefill(x[:, :10])
    valid = torch.rand(1, 40, generator=torch.Generator().manual_seed(0)) < 0.6
    out, behind = mixer.prefill(x, state, seq=Seq.from_mask(valid))
    expected, after = mixer.prefill(x[valid][None], state)
    torch.testing.assert_close(out[valid][None], expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(behind.ssm, after.ssm, rtol=1e-9, atol=1e-10)


def test_a_changed_parameter_is_seen_by_the_next_step():
    mixer = build()
    x, state = torch.randn(1, 4, dtype=torch.float64), build().prefill(torch.randn(1, 3, 4).double())[1]
    with torch.no_grad():
        mixer.step(x, state)
        mixer.A_imag.data += 0.5  # behind autograd's back
        kept, _ = mixer.step(x, state)
    fresh, _ = copy.deepcopy(mixer).step(x, state)
    torch.testing.assert_close(kept, fresh, rtol=1e-12, atol=1e-12)
    first = mixer.recurrence()[0]
    with torch.no_grad():
        assert mixer.recurrence()[0] is mixer.recurrence()[0]
        assert mixer.recurrence()[0] is not first
        assert copy.deepcopy(mixer)._kept is None


def test_the_state_of_a_large_matrix_stays_exact_over_many_steps():
    torch.manual_seed(0)
    mixer = S4(2, d_state=128, n_ssm=1).double()
    x = torch.randn(1, 400, 2, dtype=torch.float64)
    with torch.no_grad():
        state, outputs = mixer.init_state(1, device="cpu", dtype=x.dtype), []
        for x_t in x.unbind(1):
            out, state = mixer.step(x_t, state)
            outputs.append(out)
        torch.testing.assert_close(torch.stack(outputs, 1), mixer(x), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("measure", "rank"), [("legs", 1), ("legs", 2), ("legt", 2), ("fourier", 1)])
@pytest.mark.parametrize("size", [4, 16, 64])
def test_the_initial_system_is_the_hippo_matrix(measure, rank, size):
    A, B = transition(measure, size)
    parts = nplr(measure, size, rank=rank, clip=None)
    P = torch.cat((parts.P, parts.P.conj()), -1)
    ours = torch.diag(torch.cat((parts.A, parts.A.conj()))) - P.mT @ P.conj()
    # Unitarily equivalent: the same values on the imaginary axis of C (s - A)^-1 B for C = B^*.
    b = torch.cat((parts.B, parts.B.conj()))
    for s in (0.3j, 2j, 40j):
        unit = torch.eye(size, dtype=torch.complex128)
        expected = B.to(unit.dtype) @ torch.linalg.solve(s * unit - A, B.to(unit.dtype))
        got = b.conj() @ torch.linalg.solve(s * unit - ours, b)
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)
    normal = A + low_rank(measure, size, rank).mT @ low_rank(measure, size, rank)
    torch.testing.assert_close(normal + normal.mT, 2 * normal.diagonal().mean() * torch.eye(size).double())


def test_hippo_matrices_are_the_formulas():
    A, B = transition("legs", 4)
    for n in range(4):
        assert B[n] == pytest.approx(math.sqrt(2 * n + 1))
        for k in range(4):
            lower = -math.sqrt((2 * n + 1) * (2 * k + 1))
            assert A[n, k] == pytest.approx(lower if n > k else -(n + 1) if n == k else 0)
    A, B = transition("legt", 3)
    for n in range(3):
        assert B[n] == pytest.approx(math.sqrt(2 * n + 1) / 2)
        for k in range(3):
            sign = (-1) ** (n - k) if n < k else 1
            assert A[n, k] == pytest.approx(-0.5 * sign * math.sqrt((2 * n + 1) * (2 * k + 1)))
    A, B = transition("fourier", 6)
    assert B.tolist() == pytest.approx([1, 0, math.sqrt(2), 0, math.sqrt(2), 0])
    turning = A + torch.outer(B, B)
    assert turning[2, 3] == pytest.approx(-math.pi)
    assert turning[5, 4] == pytest.approx(2 * math.pi)
    assert turning.abs().sum() == pytest.approx(6 * math.pi)


def test_initial_parameters_have_the_published_distributions():
    torch.manual_seed(0)
    mixer = S4(512, d_state=16, n_ssm=1, dt_min=0.01, dt_max=0.05, dt_transform="softplus")
    steps = F.softplus(mixer.inv_dt)
    assert 0.0099 < steps.min() < 0.0102
    assert 0.049 < steps.max() < 0.0501
    assert abs(steps.log().mean() - (math.log(0.01) + math.log(0.05)) / 2) < 0.05
    assert abs(mixer.C.std() - math.sqrt(0.5)) < 0.02
    assert abs(mixer.D.std() - 1) < 0.1
    torch.testing.assert_close(mixer.A_real, torch.full((1, 8), math.log(0.5)))
    assert (mixer.A_imag > 0).all()


@pytest.mark.parametrize(
    "options", [{}, {"n_ssm": 1, "channels": 2, "bidirectional": True}, {"dt_transform": "softplus"}]
)
def test_to_the_published_form_and_back(options):
    mixer = build(**options)
    ours = {name: tensor.detach() for name, tensor in mixer.named_parameters()}
    transform = {"dt_transform": mixer.dt_transform}
    for length in (0, 1, 50):
        published = s4_to_published(ours, length, **transform)
        assert int(published["layer.kernel.l_kernel"]) == length
        back = s4_from_published(published, **transform)
        for name, tensor in ours.items():
            torch.testing.assert_close(back[name], tensor, rtol=1e-9, atol=1e-10)
        read = s4_options_from_published(published)
        again = S4(**read, **transform).double()
        again.load_state_dict(back)
        x = torch.randn(1, 9, 4, dtype=torch.float64)
        torch.testing.assert_close(again(x), mixer(x), rtol=1e-9, atol=1e-10)
    plain = s4_to_published(ours, 0, **transform)["layer.kernel.C"]
    assert not torch.allclose(s4_to_published(ours, 50, **transform)["layer.kernel.C"], plain)


def test_other_transforms_of_a_checkpoint_become_ours():
    ours = {name: tensor.detach() for name, tensor in build().named_parameters()}
    published = s4_to_published(ours)
    real, imag = ours["A_real"].exp(), ours["A_imag"].abs() + 0.1
    for name, inverse in (("none", lambda x: x), ("softplus", lambda x: torch.log(torch.expm1(x)))):
        stored = published | {"layer.kernel.A_real": inverse(real), "layer.kernel.A_imag": inverse(imag)}
        back = s4_from_published(stored, real_transform=name, imag_transform=name)
        torch.testing.assert_close(back["A_real"], ours["A_real"])
        torch.testing.assert_close(back["A_imag"], imag)


def test_a_checkpoint_with_other_tensors_is_refused():
    published = s4_to_published(dict(build().state_dict()))
    with pytest.raises(UserError, match=r"lacks layer.kernel.P; it has layer.D, ") as caught:
        s4_from_published({name: x for name, x in published.items() if name != "layer.kernel.P"})
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"unknown tensors: layer\.kernel\.w"):
        s4_from_published(published | {"layer.kernel.w": torch.zeros(1)})


def test_the_state_space_has_its_own_learning_rate_and_no_decay():
    mixer = S4(6, ssm_lr_scale=0.25)
    groups = {g["name"]: g for g in parameter_groups(mixer, lr=1.0, weight_decay=0.1)}
    marked = {id(getattr(mixer, name)) for name in ("inv_dt", "A_real", "A_imag", "B", "P")}
    assert {id(p) for p in groups["no_decay_lr_x0.25"]["params"]} == marked
    assert id(mixer.C) in {id(p) for p in groups["decay"]["params"]}


def test_directions_are_as_stated():
    assert S4(2, d_state=4).causal
    mixer = S4(2, d_state=4, bidirectional=True)
    assert not mixer.causal
    assert not mixer.recurrent
    for call in (
        lambda: mixer.prefill(torch.zeros(1, 2, 2)),
        lambda: mixer.step(torch.zeros(1, 2), (torch.zeros(1, 2, 2, 2),)),
        lambda: mixer.init_state(1, device="cpu", dtype=torch.float32),
    ):
        with pytest.raises(NotImplementedError, match="a bidirectional S4 has no recurrent form"):
            call()


def test_scaling_the_output_scales_it():
    mixer = build()
    x = torch.randn(1, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        mixer.output_linear.bias.zero_()
    before = mixer(x)
    mixer.scale_output(0.5)
    torch.testing.assert_close(mixer(x), before / 2)


def test_under_autocast_the_kernel_stays_in_float32():
    mixer = S4(6, d_state=8)
    expected = mixer.kernel(30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mixer.kernel(30), expected)
        out = mixer(torch.randn(1, 30, 6))
    assert out.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_state": 0}, "d_state must be at least 2, not 0"),
        ({"d_state": 5}, r"d_state must be even \(conjugate pairs\), not 5"),
        ({"n_ssm": 3}, "n_ssm must divide d_model = 8, not 3"),
        ({"n_ssm": 0}, "n_ssm must be at least 1, not 0"),
        ({"channels": 0}, "channels must be at least 1, not 0"),
        ({"channels": 2, "output": "none"}, "channels = 2 needs an output layer; output is 'none'"),
        ({"rank": 0}, "rank must be at least 1, not 0"),
        ({"init": "legt"}, "rank must be at least 2, not 1"),
        ({"init": "hippo", "n_ssm": 1}, "n_ssm must be even for init 'hippo', half legs and half fourier"),
        ({"dt_min": 0}, "dt_min must be above 0, not 0.0"),
        ({"dt_min": 0.2, "dt_max": 0.1}, "dt_min must not be above dt_max, 0.2 and 0.1"),
        ({"bandlimit": 0.0}, "bandlimit must be above 0, not 0.0"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"ssm_lr_scale": -1.0}, "ssm_lr_scale must be at least 0, not -1.0"),
        ({"init": "hipo"}, "init must be one of 'legs', 'legt', 'fourier', 'hippo', not 'hipo'.*"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=f"^mixer 's4': {message}$"):
        S4(8, **check_arguments(S4, "mixer 's4'", options))
