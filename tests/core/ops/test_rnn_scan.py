"""The recurrent cells against scalar loops and torch.nn, their paths against each other, and their laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from seqsuite.errors import UserError
from seqsuite.ops import Seq
from seqsuite.ops._rnn_scan import portable
from seqsuite.ops._rnn_scan.op import CELLS, rnn_scan

by_cell = pytest.mark.parametrize("cell", list(CELLS))


def draw(
    cell: str, batch: int = 2, length: int = 9, width: int = 4, heads: int = 2, seed: int = 0, regime: str = "moderate"
) -> dict[str, torch.Tensor]:
    """x, weight, bias, initial_state; float64 that float32 holds exactly; a regime sets how much is forgotten."""
    gates, parts = CELLS[cell]
    random = torch.Generator().manual_seed(seed)
    p = width // heads
    shapes = {
        "x": (batch, length, gates, width),
        "weight": (heads, gates, p, p),
        "bias": (gates, width),
        "initial_state": (batch, parts, width),
    }
    found = {name: torch.randn(*shape, generator=random) for name, shape in shapes.items()}
    found["weight"] *= p**-0.5
    forget = 1  # f of the LSTMs; the GRU's update gate is the same place
    found["x"][:, :, forget] += {"moderate": 0.0, "almost one": 9.0, "underflow": -110.0}[regime]
    if cell == "slstm":
        found["initial_state"][:, 2].abs_()
    return {name: x.double() for name, x in found.items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@by_cell
@pytest.mark.parametrize("zero", [False, True])
def test_reference_is_the_formula_written_with_scalars(cell: str, zero: bool) -> None:
    named = draw(cell)
    if zero:
        named["initial_state"].zero_()
    y, last = rnn_scan(**named, cell=cell, return_final_state=True, backend="reference")
    for b in range(2):
        state = [part.tolist() for part in named["initial_state"][b]]
        for t in range(9):
            h = list(state[0])
            for d in range(4):
                head, place = divmod(d, 2)
                x = named["x"][b, t, :, d].tolist()
                a = [
                    float(named["bias"][g, d])
                    + sum(float(named["weight"][head, g, place, q]) * h[2 * head + q] for q in range(2))
                    for g in range(len(x))
                ]
                s = [p + q for p, q in zip(x, a, strict=True)]
                if cell == "lstm":
                    state[1][d] = sigmoid(s[1]) * state[1][d] + sigmoid(s[0]) * math.tanh(s[2])
                    state[0][d] = sigmoid(s[3]) * math.tanh(state[1][d])
                elif cell == "gru":
                    n = math.tanh(x[2] + sigmoid(s[0]) * a[2])
                    state[0][d] = (1 - sigmoid(s[1])) * n + sigmoid(s[1]) * h[d]
                else:
                    old = log_sigmoid(s[1]) + state[3][d]
                    m = s[0] if zero and t == 0 else max(old, s[0])
                    keep = 0.0 if zero and t == 0 else math.exp(old - m)
                    state[1][d] = keep * state[1][d] + math.exp(s[0] - m) * math.tanh(s[2])
                    state[2][d] = keep * state[2][d] + math.exp(s[0] - m)
                    state[3][d] = m
                    state[0][d] = sigmoid(s[3]) * state[1][d] / state[2][d]
                assert float(y[b, t, d]) == pytest.approx(state[0][d], rel=1e-11)
        assert last[b].flatten().tolist() == pytest.approx([v for part in state for v in part], rel=1e-11)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(("cell", "layer"), [("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)])
def test_one_head_is_the_layer_of_torch(cell: str, layer: Any, backend: str) -> None:
    torch.manual_seed(0)
    gates, parts = CELLS[cell]
    net = layer(3, 5, batch_first=True).double()
    u = torch.randn(2, 11, 3, dtype=torch.float64, requires_grad=True)
    state = torch.randn(parts, 1, 2, 5, dtype=torch.float64)
    expected, last = net(u, tuple(state) if cell == "lstm" else state[0])
    x = torch.nn.functional.linear(u, net.weight_ih_l0, net.bias_ih_l0).unflatten(2, (gates, 5))
    y, final = rnn_scan(
        x,
        net.weight_hh_l0.view(1, gates, 5, 5),
        cell=cell,
        bias=net.bias_hh_l0.view(gates, 5),
        initial_state=state[:, 0].transpose(0, 1),
        return_final_state=True,
        backend=backend,
    )
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(final.transpose(0, 1), torch.cat(last if cell == "lstm" else (last,)))
    leaves = [u, *net.parameters()]
    weights = torch.randn_like(y)
    for mine, true in zip(
        torch.autograd.grad((y * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-12)


def test_exponential_gates_are_a_weighted_mean_without_the_stabiliser() -> None:
    """Without a recurrent matrix, c / n is the mean of tanh(z) with weights exp(i_s) prod sigma(f) after s."""
    named = draw("slstm", batch=1, length=6, width=2, heads=1)
    x = named["x"]
    y = rnn_scan(x, torch.zeros_like(named["weight"]), cell="slstm", backend="portable")
    i, f, z, o = x.unbind(2)
    for t in range(6):
        weights = [i[:, s].exp() * f[:, s + 1 : t + 1].sigmoid().prod(1) for s in range(t + 1)]
        mean = sum(w * z[:, s].tanh() for s, w in enumerate(weights)) / sum(weights)
        torch.testing.assert_close(y[:, t], o[:, t].sigmoid() * mean, rtol=1e-12, atol=1e-13)


@by_cell
def test_input_gates_beyond_the_range_of_exp_do_no_harm(cell: str) -> None:
    named = draw(cell, length=7)
    named["x"][:, :, 0] *= 300
    leaves = [x.float().requires_grad_() for x in named.values()]
    y = rnn_scan(leaves[0], leaves[1], bias=leaves[2], initial_state=leaves[3], cell=cell, backend="portable")
    assert y.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), leaves))


SEQS = {
    "none": lambda batch, length, random: None,
    "lengths": lambda batch, length, random: Seq.from_lengths((random[:, 0] * (length + 1)).long(), length),
    "left": lambda batch, length, random: Seq.from_lengths((random[:, 0] * (length + 1)).long(), length, side="left"),
    "mask": lambda batch, length, random: Seq.from_mask(random < 0.7),
    "resets": lambda batch, length, random: Seq.from_resets(random < 0.3),
    "both": lambda batch, length, random: Seq.from_resets(random < 0.3, valid=random.flip(0, 1) < 0.7),
}


@given(
    st.sampled_from(list(CELLS)),
    st.tuples(st.integers(1, 3), st.integers(1, 12), st.sampled_from([2, 4]), st.sampled_from([1, 2])),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(list(SEQS)),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_paths_agree_for_any_flags(
    cell: str,
    sizes: tuple[int, int, int, int],
    with_bias: bool,
    with_state: bool,
    reverse: bool,
    kind: str,
    seed: int,
) -> None:
    named = draw(cell, *sizes, seed=seed)
    random = torch.rand(sizes[:2], generator=torch.Generator().manual_seed(seed))
    seq = SEQS[kind](*sizes[:2], random)
    wanted = {"x", "weight"} | ({"bias"} if with_bias else set()) | ({"initial_state"} if with_state else set())
    leaves = {name: x.requires_grad_() for name, x in named.items() if name in wanted}

    def run(backend: str) -> list[torch.Tensor]:
        y, last = rnn_scan(**leaves, cell=cell, reverse=reverse, seq=seq, return_final_state=True, backend=backend)
        loss = (y * torch.sin(torch.arange(y.numel()).view_as(y))).sum() + last.cos().sum()
        return [y, last, *torch.autograd.grad(loss, list(leaves.values()))]

    for mine, true in zip(run("portable"), run("reference"), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-9, atol=1e-11)


@by_cell
@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_the_derivatives(cell: str, backend: str, reverse: bool) -> None:
    named = draw(cell, length=4)
    resets = torch.tensor([[False, False, True, False], [True, False, False, False]])
    valid = torch.tensor([[True, True, True, True], [True, True, False, True]])
    seq = Seq.from_resets(resets, valid=valid)

    def scan(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, state: torch.Tensor) -> Any:
        return rnn_scan(
            x,
            weight,
            cell=cell,
            bias=bias,
            initial_state=state,
            return_final_state=True,
            reverse=reverse,
            seq=seq,
            backend=backend,
        )

    assert gradcheck(scan, [x.requires_grad_() for x in named.values()])


@by_cell
@pytest.mark.parametrize("regime", ["almost one", "moderate", "underflow", "reset"])
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@pytest.mark.usefixtures("poisoned")
def test_portable_float32_against_reference_float64(
    cell: str, regime: str, length: int, relative_l2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "ROOM", 32 * 2 * 4 * 24)  # chunks of 32 steps
    named = draw(cell, 2, length, 24, 3, regime="moderate" if regime == "reset" else regime)
    seq = None
    if regime == "reset":
        seq = Seq.from_resets(torch.rand(2, length, generator=torch.Generator().manual_seed(1)) < 0.2)
    results = []
    for dtype, backend in ((torch.float32, "portable"), (torch.float64, "reference")):
        leaves = {name: x.to(dtype).requires_grad_() for name, x in named.items()}
        y, last = rnn_scan(**leaves, cell=cell, seq=seq, return_final_state=True, backend=backend)
        loss = (y * torch.linspace(-1, 1, 24, dtype=dtype)).sum() + last.sum()
        results.append([y, last, *torch.autograd.grad(loss, list(leaves.values()))])
    for index, (mine, true) in enumerate(zip(*results, strict=True)):
        assert relative_l2(mine, true) <= (1e-6 if index < 2 else 5e-6), index


@by_cell
def test_bfloat16_inputs_keep_a_float32_state(cell: str, relative_l2: Any) -> None:
    named = {name: x.to(torch.bfloat16) for name, x in draw(cell, 2, 65, 24, 3).items()}
    y, last = rnn_scan(**named, cell=cell, return_final_state=True, backend="portable")
    expected = rnn_scan(**{name: x.double() for name, x in named.items()}, cell=cell, backend="reference")
    assert (y.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    assert relative_l2(y, expected) <= 1e-2


@by_cell
@pytest.mark.parametrize("length", [1, 2, 9, 70])
def test_reverse_is_flip_scan_flip_bit_for_bit(cell: str, length: int) -> None:
    named = {name: x.float() for name, x in draw(cell, length=length).items()}
    y, last = rnn_scan(**named, cell=cell, reverse=True, return_final_state=True)
    flipped = named | {"x": named["x"].flip(1)}
    mirrored = rnn_scan(**flipped, cell=cell, return_final_state=True)
    assert torch.equal(y, mirrored[0].flip(1))
    assert torch.equal(last, mirrored[1])


@by_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_chunks_with_carried_state_are_the_whole(cell: str, reverse: bool) -> None:
    named = draw(cell, length=12)
    whole, last = rnn_scan(**named, cell=cell, reverse=reverse, return_final_state=True)
    x, state, parts = named.pop("x"), named.pop("initial_state"), []
    cuts = [slice(0, 1), slice(1, 3), slice(3, 12)]
    for cut in cuts[::-1] if reverse else cuts:
        y, state = rnn_scan(
            x[:, cut], **named, cell=cell, initial_state=state, reverse=reverse, return_final_state=True
        )
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts[::-1] if reverse else parts, 1), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-13)


@by_cell
def test_padding_is_never_read_and_leaves_the_state(cell: str) -> None:
    named = draw(cell)
    filled = named["x"].clone()
    filled[:, 5:] = torch.nan
    seq = Seq.from_lengths([5, 5], 9)
    y, last = rnn_scan(**(named | {"x": filled}), cell=cell, seq=seq, return_final_state=True)
    alone = rnn_scan(**(named | {"x": named["x"][:, :5]}), cell=cell, return_final_state=True)
    torch.testing.assert_close(y[:, :5], alone[0])
    torch.testing.assert_close(last, alone[1])
    assert not y[:, 5:].any()


@by_cell
def test_packed_documents_are_apart(cell: str) -> None:
    named = draw(cell, batch=1)
    x = named.pop("x")
    named.pop("initial_state")
    packed = rnn_scan(x, **named, cell=cell, seq=Seq.from_cu_seqlens([[0, 4, 9]], 9))
    alone = [rnn_scan(part, **named, cell=cell) for part in (x[:, :4], x[:, 4:])]
    torch.testing.assert_close(packed, torch.cat(alone, 1), rtol=1e-12, atol=1e-13)


def test_memory_kept_for_the_backward_pass_is_the_states() -> None:
    """Beside the operands only h and c of every step are kept, not the gates."""
    named = {name: x.requires_grad_() for name, x in draw("lstm", 2, 50, 8, 2).items()}
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        rnn_scan(**named, cell="lstm", backend="portable")
    own = {x.data_ptr() for x in named.values()}
    assert sum(x.numel() for x in kept if x.data_ptr() not in own) == 2 * 50 * 2 * 8


def test_differentiating_twice_is_refused() -> None:
    named = {name: x.requires_grad_() for name, x in draw("gru").items()}
    y = rnn_scan(**named, cell="gru", backend="portable")
    (grad,) = torch.autograd.grad(y.sum(), named["x"], create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        grad.sum().backward()


def test_what_does_not_fit_is_named() -> None:
    named = draw("lstm")
    with pytest.raises(ValueError, match=r"^x must be .* G = 3 for 'gru', got \(2, 9, 4, 4\)$"):
        rnn_scan(**named, cell="gru")
    with pytest.raises(ValueError, match=r"^cell must be one of 'lstm', 'gru', 'slstm', got 'elman'$"):
        rnn_scan(**named, cell="elman")  # type: ignore[arg-type]
    for name, wrong in (
        ("weight", named["weight"][:1]),
        ("weight", named["weight"][0]),
        ("bias", named["bias"][:3]),
        ("initial_state", named["initial_state"][:, :1]),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            rnn_scan(**(named | {name: wrong}), cell="lstm")
    with pytest.raises(ValueError, match=r"^x must be .* L > 0"):
        rnn_scan(**(named | {"x": named["x"][:, :0]}), cell="lstm")
    with pytest.raises(UserError, match="backend 'triton' cannot serve this call"):
        rnn_scan(**named, cell="lstm", backend="triton")


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
@pytest.mark.parametrize("name", ["x", "weight", "bias", "initial_state"])
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    named = draw("lstm")
    with pytest.raises(TypeError, match=f"^{name} must be .*not {dtype}$"):
        rnn_scan(**(named | {name: named[name].to(dtype)}), cell="lstm")


@by_cell
def test_without_rows_everything_is_empty(cell: str) -> None:
    named = {name: x.requires_grad_() for name, x in draw(cell, batch=0).items()}
    y, last = rnn_scan(**named, cell=cell, return_final_state=True, backend="portable")
    assert (y.shape, last.shape) == ((0, 9, 4), named["initial_state"].shape)
    for leaf, grad in zip(named.values(), torch.autograd.grad(y.sum() + last.sum(), list(named.values())), strict=True):
        assert torch.equal(grad, torch.zeros_like(leaf))


@by_cell
def test_registered_operators_obey_the_rules_of_torch(cell: str) -> None:
    named = draw(cell, 1, 3, 2, 1)
    masks = (torch.tensor([[False, True, False]]), torch.tensor([[True, True, False]]))
    forward, backward = torch.ops.seqsuite.rnn_scan_fwd, torch.ops.seqsuite.rnn_scan_bwd
    calls = [(*named.values(), *masks, cell, True, "portable")]
    if cell == "gru":
        calls.append((named["x"], named["weight"], None, None, None, None, cell, False, "portable"))
    for operands in calls:
        torch.library.opcheck(forward, operands)
        y, last, states = forward(*operands)
        torch.library.opcheck(backward, (torch.ones_like(y), torch.ones_like(last), states, *operands))


def test_compiled_as_one_graph() -> None:
    named = {name: x.float().requires_grad_() for name, x in draw("gru").items()}

    compiled = torch.compile(lambda **o: rnn_scan(**o, cell="gru").square(), fullgraph=True, backend="aot_eager")
    eager = rnn_scan(**named, cell="gru").square()
    found = compiled(**named)
    torch.testing.assert_close(found, eager)
    for mine, true in zip(
        torch.autograd.grad(found.sum(), list(named.values())),
        torch.autograd.grad(eager.sum(), list(named.values())),
        strict=True,
    ):
        torch.testing.assert_close(mine, true)
