"""The delta rule against a scalar loop, its paths against each other, and its laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from seqsuite.ops import Seq
from seqsuite.ops._delta_rule.op import delta_rule

Operands = dict[str, torch.Tensor]
KINDS = [("none", False), ("head", False), ("key", False), ("none", True), ("head", True), ("key", True)]


def draw(
    shape: tuple[int, int, int, int, int] = (2, 7, 2, 3, 4),
    decay: str = "head",
    own: bool = False,
    seed: int = 0,
    regime: str = "moderate",
) -> Operands:
    """Float64 operands with keys of unit length and beta up to 2; with `own`, the removal's vectors."""
    batch, length, heads, key, value = shape
    random = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=random, dtype=torch.float64)

    def unit() -> torch.Tensor:
        return torch.nn.functional.normalize(normal(batch, length, heads, key), dim=-1)

    operands = {
        "q": normal(batch, length, heads, key),
        "k": unit(),
        "v": normal(batch, length, heads, value),
        "beta": 2 * torch.sigmoid(normal(batch, length, heads)),
        "initial_state": normal(batch, heads, key, value),
    }
    rate = {"almost one": 1e-4, "moderate": 0.5, "underflow": 300.0}[regime]
    if decay != "none":
        operands["g"] = -rate * normal(batch, length, heads, *[key] * (decay == "key")).abs()
    if own:
        read = unit()
        operands |= {"a": -read * torch.sigmoid(normal(batch, length, heads, key)), "b": read}
    return operands


def call(operands: Operands, **options: Any) -> Any:
    named = dict(operands)
    if "a" in named:
        named["remove"] = (named.pop("a"), named.pop("b"))  # type: ignore[assignment]
    return delta_rule(**named, **options)  # type: ignore[arg-type]


def run(operands: Operands, dtype: torch.dtype = torch.float64, **options: Any) -> dict[str, torch.Tensor]:
    """Outputs and all gradients for random output gradients."""
    leaves = {name: x.to(dtype).requires_grad_() for name, x in operands.items()}
    o, state = call(leaves, return_final_state=True, **options)
    random = torch.Generator().manual_seed(9)
    weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(x.dtype) for x in (o, state)]
    grads = torch.autograd.grad((o, state), list(leaves.values()), weights)
    return {"o": o, "state": state} | {f"d{name}": g for name, g in zip(leaves, grads, strict=True)}


@pytest.mark.parametrize(("decay", "own"), KINDS)
def test_reference_is_the_formula_written_with_scalars(decay: str, own: bool) -> None:
    shape = batch, length, heads, key, value = 2, 4, 2, 3, 2
    x = draw(shape, decay, own)
    o, last = call(x, scale=0.7, return_final_state=True, backend="reference")
    for r in range(batch):
        for h in range(heads):
            S = x["initial_state"][r, h].tolist()
            for t in range(length):
                beta = float(x["beta"][r, t, h])
                q, k, v = (x[name][r, t, h].tolist() for name in "qkv")
                keep = [1.0] * key
                if decay == "head":
                    keep = [math.exp(float(x["g"][r, t, h]))] * key
                if decay == "key":
                    keep = [math.exp(float(each)) for each in x["g"][r, t, h]]
                a = x["a"][r, t, h].tolist() if own else [-beta * each for each in k]
                b = x["b"][r, t, h].tolist() if own else [d * each for d, each in zip(keep, k, strict=True)]
                read = [sum(b[i] * S[i][j] for i in range(key)) for j in range(value)]
                S = [
                    [keep[i] * S[i][j] + a[i] * read[j] + beta * k[i] * v[j] for j in range(value)] for i in range(key)
                ]
                expected = [0.7 * sum(q[i] * S[i][j] for i in range(key)) for j in range(value)]
                assert o[r, t, h].tolist() == pytest.approx(expected, rel=1e-11, abs=1e-12)
            for mine, true in zip(last[r, h].tolist(), S, strict=True):
                assert mine == pytest.approx(true, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(("decay", "own"), KINDS)
def test_gradients_are_the_derivatives(backend: str, decay: str, own: bool) -> None:
    operands = draw((2, 5, 1, 2, 2), decay, own)
    names = list(operands)
    seq = Seq.from_resets(torch.tensor([[False, False, True, False, False], [True, False, False, False, True]]))

    def rule(*tensors: torch.Tensor) -> Any:
        named = dict(zip(names, tensors, strict=True))
        options = {"seq": seq if own else None, "reverse": own, "chunk_size": 4, "backend": backend}
        return call(named, return_final_state=True, **options)

    assert gradcheck(rule, [x.requires_grad_() for x in operands.values()])


@pytest.mark.parametrize("regime", ["almost one", "moderate", "underflow", "reset"])
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@pytest.mark.usefixtures("poisoned")
def test_portable_against_reference_float64(length: int, regime: str, relative_l2: Any) -> None:
    for decay, own in (("head", False), ("key", False), ("key", True)):
        operands = draw((1, length, 2, 16, 8), decay, own, regime="moderate" if regime == "reset" else regime)
        if regime == "reset":
            drop = torch.rand(operands["g"].shape, generator=torch.Generator().manual_seed(1)) < 0.2
            operands["g"] = operands["g"].masked_fill(drop, -torch.inf)
        true = run(operands, backend="reference")
        for name, mine in run(operands, backend="portable").items():
            assert relative_l2(mine, true[name]) <= 1e-12, (decay, own, name)
        for name, mine in run(operands, torch.float32, backend="portable").items():
            assert relative_l2(mine, true[name]) <= (5e-6 if name.startswith("d") else 1e-6), (decay, own, name)


def test_a_reset_lets_nothing_through() -> None:
    """What lies before a log decay of minus infinity has no influence, not even a gradient of rounding errors."""
    for decay in ("head", "key"):
        operands = draw((1, 20, 1, 4, 4), decay)
        operands["g"][:, 11] = -torch.inf
        leaves = {name: x.requires_grad_() for name, x in operands.items()}
        o = call(leaves)
        before = torch.autograd.grad(o[:, 11:].square().sum(), [leaves[name] for name in ("k", "v", "beta", "g")])
        assert not any(bool(gradient[:, :11].any()) for gradient in before)
        assert not before[3][:, 11].any()


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(KINDS),
    st.sampled_from([1, 2, 8, 16, None]),
    st.sets(st.sampled_from(["beta", "initial_state"])),
    st.booleans(),
    st.sampled_from(["none", "lengths", "mask", "resets"]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_paths_agree_for_any_flags(
    shape: tuple[int, int, int, int, int],
    decays: tuple[str, bool],
    chunk_size: int | None,
    names: set[str],
    reverse: bool,
    kind: str,
    seed: int,
) -> None:
    operands = draw(shape, *decays, seed=seed)
    for name in {"beta", "initial_state"} - names:
        del operands[name]
    batch, length = shape[:2]
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = {
        "none": lambda: None,
        "lengths": lambda: Seq.from_lengths((random[:, 0] * length).long(), length, side="left"),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.2, valid=random < 0.9),
    }[kind]()
    operands.setdefault("beta", torch.ones(shape[:3], dtype=torch.float64))
    options = {"reverse": reverse, "seq": seq, "chunk_size": chunk_size}
    true = run(operands, backend="reference", **options)
    for name, mine in run(operands, backend="portable", **options).items():
        torch.testing.assert_close(mine, true[name], rtol=1e-9, atol=1e-10)


def test_without_strengths_they_are_one() -> None:
    operands = draw()
    operands["beta"] = torch.ones_like(operands["beta"])
    expected = call(operands)
    for backend in ("reference", "portable"):
        bare = {**operands, "beta": None}
        torch.testing.assert_close(call(bare, backend=backend), expected, rtol=1e-12, atol=1e-12)


def test_the_delta_rule_is_the_removal_of_its_own_keys() -> None:
    x = draw((2, 37, 2, 4, 3), "key")
    o = call(x)
    own = {**x, "a": -x["beta"][..., None] * x["k"], "b": x["g"].exp() * x["k"]}
    torch.testing.assert_close(call(own), o, rtol=1e-11, atol=1e-12)


def test_a_decay_of_the_head_is_that_of_all_its_channels() -> None:
    x = draw((2, 37, 2, 4, 3), "head")
    wide = {**x, "g": x["g"][..., None].expand_as(x["k"])}
    torch.testing.assert_close(call(wide), call(x), rtol=1e-11, atol=1e-12)


def test_with_full_strength_the_state_returns_what_was_written_last() -> None:
    """beta = 1 and a unit key: reading with the key gives the value, whatever was there before."""
    x = draw((2, 33, 2, 4, 3), "head")
    o = delta_rule(x["k"], x["k"], x["v"], None, g=x["g"], scale=1.0)
    torch.testing.assert_close(o, x["v"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("decay", "own"), KINDS)
def test_reverse_is_flip_run_flip(decay: str, own: bool) -> None:
    x = draw((2, 45, 2, 4, 3), decay, own)
    o, state = call(x, reverse=True, return_final_state=True)
    mirrored = {name: each if name == "initial_state" else each.flip(1) for name, each in x.items()}
    expected, last = call(mirrored, return_final_state=True)
    torch.testing.assert_close(o, expected.flip(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("decay", "own"), KINDS)
def test_chunks_with_carried_state_are_the_whole(decay: str, own: bool, reverse: bool) -> None:
    x = draw((2, 77, 2, 4, 3), decay, own)
    whole, last = call(x, reverse=reverse, return_final_state=True)
    state = x.pop("initial_state")
    parts = []
    cuts = [slice(0, 1), slice(1, 34), slice(34, 77)]
    for cut in cuts[::-1] if reverse else cuts:
        piece = {name: each[:, cut] for name, each in x.items()} | {"initial_state": state}
        o, state = call(piece, reverse=reverse, return_final_state=True)
        parts.append(o)
    torch.testing.assert_close(torch.cat(parts[::-1] if reverse else parts, 1), whole, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-11, atol=1e-12)


def test_spans_are_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny limit on the work at a time: many spans of one chunk give what one span of many gives."""
    x = draw((2, 70, 2, 4, 3), "key", True)
    expected = run(x, chunk_size=8)
    monkeypatch.setattr("seqsuite.ops._delta_rule.portable.SPAN", 1)
    for name, mine in run(x, chunk_size=8).items():
        torch.testing.assert_close(mine, expected[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(("decay", "own"), KINDS)
def test_padding_and_packing_are_invisible(decay: str, own: bool, backend: str, reverse: bool) -> None:
    """Documents in one row, padding of NaN behind each, give what each gives alone."""
    x = draw((1, 30, 2, 4, 3), decay, own)
    x.pop("initial_state")
    valid = torch.ones(1, 30, dtype=torch.bool)
    valid[:, 7:12] = valid[:, 26:] = False
    resets = torch.zeros(1, 30, dtype=torch.bool)
    resets[:, [0, 12]] = True
    filled = {}
    for name, each in x.items():
        filled[name] = each.clone()
        filled[name][~valid] = torch.nan
    options = {"reverse": reverse, "backend": backend}
    o, _ = call(filled, seq=Seq.from_resets(resets, valid=valid), return_final_state=True, **options)
    assert not o[~valid].any()
    for part in (slice(0, 7), slice(12, 26)):
        alone = call({name: each[:, part] for name, each in x.items()}, **options)
        torch.testing.assert_close(o[:, part], alone, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_is_computed_in_float32(dtype: torch.dtype, relative_l2: Any) -> None:
    low = {name: x.to(dtype) for name, x in draw((2, 50, 2, 8, 8), "key").items()}
    o, state = call(low, return_final_state=True)
    assert o.dtype == dtype
    assert state.dtype == torch.float32
    exact = run({name: x.double() for name, x in low.items()})
    assert relative_l2(state, exact["state"]) < 1e-6
    assert relative_l2(o, exact["o"]) < torch.finfo(dtype).eps
    for name, mine in run(low, dtype).items():
        assert relative_l2(mine, exact[name]) < 1e-2, name


def test_autocast_does_not_lower_the_precision() -> None:
    operands = {name: x.float() for name, x in draw((2, 50, 2, 8, 8)).items()}
    plain = call(operands)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(call(operands), plain)


def test_operands_are_left_as_they_are() -> None:
    for length in (1, 32):  # one chunk of one row: the operands might serve as buffers
        operands = draw((1, length, 1, 4, 4), "key", True)
        kept = {name: x.clone() for name, x in operands.items()}
        run(operands)
        assert all(torch.equal(x, kept[name]) for name, x in operands.items())


def test_differentiating_twice_is_refused() -> None:
    operands = draw()
    leaf = operands["q"].requires_grad_()
    (grad,) = torch.autograd.grad(call(operands).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("q", (2, 7, 3), r"q must be \(B, L, H, K\)"),
        ("q", (2, 0, 2, 3), r"q must be .* L > 0, got \(2, 0, 2, 3\)"),
        ("k", (2, 7, 2, 4), r"k must be \(2, 7, 2, 3\), got \(2, 7, 2, 4\)"),
        ("v", (2, 6, 2, 4), r"v must be .* = \(2, 7, 2\), got \(2, 6, 2, 4\)"),
        ("beta", (2, 7, 2, 1), r"beta must be \(2, 7, 2\)"),
        ("g", (2, 7, 2, 4), r"g must be \(2, 7, 2\) or \(2, 7, 2, 3\), got \(2, 7, 2, 4\)"),
        ("a", (2, 7, 2, 4), r"remove\[0\] must be \(2, 7, 2, 3\)"),
        ("b", (2, 7, 3), r"remove\[1\] must be \(2, 7, 2, 3\)"),
        ("initial_state", (2, 2, 4, 3), r"initial_state must be \(2, 2, 3, 4\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(name: str, shape: tuple[int, ...], message: str) -> None:
    operands = draw(own=True)
    operands[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=f"^{message}"):
        call(operands)


@pytest.mark.parametrize("size", [0, 3, 256, -4])
def test_a_chunk_size_out_of_range_is_named(size: int) -> None:
    with pytest.raises(ValueError, match=f"^chunk_size must be a power of two from 1 to 128, got {size}$"):
        call(draw(), chunk_size=size)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
@pytest.mark.parametrize("name", ["q", "k", "v", "beta", "g", "a", "b", "initial_state"])
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    operands = draw(own=True)
    operands[name] = operands[name].to(dtype)
    shown = {"a": r"remove\[0\]", "b": r"remove\[1\]"}.get(name, name)
    with pytest.raises(TypeError, match=f"^{shown} must be .*not {dtype}$"):
        call(operands)


@pytest.mark.parametrize("shape", [(0, 5, 2, 3, 4), (2, 5, 0, 3, 4), (2, 5, 2, 0, 4), (2, 5, 2, 3, 0)])
def test_without_rows_heads_or_channels_the_formula_still_holds(shape: tuple[int, int, int, int, int]) -> None:
    batch, _, heads, key, value = shape
    found = run(draw(shape, "key", True), backend="portable", seq=Seq.from_lengths([5] * batch, 5))
    assert not found["o"].any()  # where there is no key channel, nothing is read
    assert found["o"].shape == (*shape[:3], value)
    assert found["state"].shape == (batch, heads, key, value)


@pytest.mark.parametrize(("decay", "own"), [("none", False), ("head", False), ("key", True)])
def test_registered_operators_obey_the_rules_of_torch(decay: str, own: bool) -> None:
    x = draw((1, 5, 1, 2, 3), decay, own)
    tensors = [x.get(name) for name in ("q", "k", "v", "beta", "g", "a", "b", "initial_state")]
    options = (0.5, False, 2, 2, "portable")
    forward, backward = torch.ops.seqsuite.delta_rule_fwd, torch.ops.seqsuite.delta_rule_bwd
    torch.library.opcheck(forward, (*tensors, *options))
    o, state, starts = forward(*tensors, *options)
    torch.library.opcheck(backward, (o, state, starts, *tensors, *options))


def test_compile_sees_one_opaque_operator() -> None:
    operands = draw((1, 6, 1, 2, 2), "key", True)
    leaf = operands["q"].requires_grad_()

    def loss(q: torch.Tensor) -> torch.Tensor:
        return (call({**operands, "q": q}) ** 2).sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    (found,) = torch.autograd.grad(compiled(leaf), leaf)
    torch.testing.assert_close(found, expected)
