"""Gated linear attention against a scalar loop, its paths against each other, and its laws."""

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
from seqsuite.ops._ssd.op import ssd

NAMES = ("q", "k", "v", "g", "initial_state")
REGIMES = ("almost one", "moderate", "underflow", "mixed", "reset")
both_decays = pytest.mark.parametrize("vector", [False, True], ids=["scalar", "vector"])


def draw(
    batch: int = 2,
    length: int = 7,
    groups: int = 1,
    heads: int = 2,
    keys: int = 3,
    values: int = 2,
    vector: bool = False,
    regime: str = "moderate",
    seed: int = 0,
) -> list[torch.Tensor]:
    """Operands and initial state, float64; `regime` sets how fast the state decays."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    g = -normal(batch, length, heads, *([keys] if vector else [])).abs()
    if regime == "mixed":  # strong decays between weak ones: sums of logarithms would lose the weak ones
        g = torch.where(torch.rand(g.shape, generator=random) < 0.1, 300 * g, 1e-2 * g)
    elif regime == "reset":
        g = g.masked_fill(torch.rand(g.shape, generator=random) < 0.2, -torch.inf)
    else:
        g = g * {"almost one": 1e-4, "moderate": 1.0, "underflow": 100.0}[regime]
    q, k = normal(batch, length, groups, keys), normal(batch, length, groups, keys)
    return [q, k, normal(batch, length, heads, values), g, normal(batch, heads, keys, values)]


def run(operands: list[torch.Tensor], dtype: torch.dtype = torch.float64, **options: Any) -> list[torch.Tensor]:
    """Outputs and all gradients for random output gradients; four operands mean no initial state."""
    leaves = [x.to(dtype).detach().requires_grad_() for x in operands]
    o, state = ssd(**dict(zip(NAMES, leaves, strict=False)), return_final_state=True, **options)
    random = torch.Generator().manual_seed(9)
    weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(dtype) for x in (o, state)]
    return [o, state, *torch.autograd.grad((o, state), leaves, weights)]


@pytest.mark.parametrize("reverse", [False, True])
@both_decays
def test_reference_is_the_formula_written_with_scalars(vector: bool, reverse: bool) -> None:
    batch, length, groups, heads, keys, values = 2, 5, 2, 4, 3, 2
    q, k, v, g, initial = draw(batch, length, groups, heads, keys, values, vector)
    o, last = ssd(
        q, k, v, g, scale=0.7, initial_state=initial, return_final_state=True, reverse=reverse, backend="reference"
    )
    for b in range(batch):
        for h in range(heads):
            group = h // (heads // groups)
            state = initial[b, h].tolist()
            for t in range(length)[:: -1 if reverse else 1]:
                out = [0.0] * values
                for i in range(keys):
                    decay = math.exp(g[b, t, h, i] if vector else g[b, t, h])
                    for j in range(values):
                        state[i][j] = decay * state[i][j] + float(k[b, t, group, i] * v[b, t, h, j])
                        out[j] += 0.7 * float(q[b, t, group, i]) * state[i][j]
                assert o[b, t, h].tolist() == pytest.approx(out, rel=1e-11, abs=1e-12)
            for found, row in zip(last[b, h].tolist(), state, strict=True):
                assert found == pytest.approx(row, rel=1e-11, abs=1e-12)


@both_decays
def test_without_decay_it_is_causal_linear_attention(vector: bool) -> None:
    q, k, v, g, _ = draw(2, 37, 2, 2, 4, 3, vector)
    scores = torch.einsum("bihk,bjhk->bhij", q, k).tril()
    expected = torch.einsum("bhij,bjhv->bihv", scores, v)
    torch.testing.assert_close(ssd(q, k, v, torch.zeros_like(g), scale=1.0, backend="portable"), expected)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize("reverse", [False, True])
@both_decays
def test_gradients_are_the_derivatives(vector: bool, reverse: bool, backend: str) -> None:
    leaves = [x.requires_grad_() for x in draw(2, 5, 1, 2, 2, 2, vector)]
    seq = Seq.from_resets(torch.tensor([[False, False, True, False, False], [True, False, False, False, False]]))

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, g: torch.Tensor, state: torch.Tensor) -> Any:
        options: dict[str, Any] = {"seq": seq, "reverse": reverse, "backend": backend, "chunk_size": 2}
        return ssd(q, k, v, g, scale=0.5, initial_state=state, return_final_state=True, **options)

    assert gradcheck(attend, leaves)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@both_decays
@pytest.mark.usefixtures("poisoned")
def test_portable_float32_against_reference_float64(vector: bool, length: int, regime: str, relative_l2: Any) -> None:
    operands = draw(2, length, 2, 4, 16, 12, vector, regime)
    operands = [x.float().double() for x in operands]
    expected = run(operands, backend="reference", scale=0.25)
    found = run(operands, torch.float32, backend="portable", scale=0.25)
    for index, (mine, true) in enumerate(zip(found, expected, strict=True)):
        if true.norm() < 1e-30:  # nothing is left of it: below the smallest float32
            assert not mine.any(), index
        else:
            assert relative_l2(mine, true) <= (1e-6 if index < 2 else 5e-6), index


@given(
    st.tuples(
        st.integers(1, 3), st.integers(1, 70), st.sampled_from([1, 2]), st.integers(1, 3), *[st.integers(1, 5)] * 2
    ),
    st.booleans(),
    st.sampled_from(REGIMES),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1, 2, 16, 64]),
    st.sampled_from(["none", "lengths", "mask", "resets"]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, ...],
    vector: bool,
    regime: str,
    stateful: bool,
    reverse: bool,
    chunk: int | None,
    kind: str,
    seed: int,
) -> None:
    batch, length, groups, per, keys, values = sizes
    operands = draw(batch, length, groups, groups * per, keys, values, vector, regime, seed)[: 5 if stateful else 4]
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = {
        "none": lambda: None,
        "lengths": lambda: Seq.from_lengths((random[:, 0] * length).long(), length, side="left"),
        "mask": lambda: Seq.from_mask(random < 0.7),
        "resets": lambda: Seq.from_resets(random < 0.2, valid=random < 0.9),
    }[kind]()
    options = {"reverse": reverse, "seq": seq, "scale": 0.5}
    found = run(operands, backend="portable", chunk_size=chunk, **options)
    for mine, true in zip(found, run(operands, backend="reference", **options), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-11)


def test_tiles_of_rows_and_chunks_are_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqsuite.ops._ssd import portable

    for vector in (False, True):
        operands = draw(3, 75, 1, 2, 3, 4, vector)
        whole = run(operands, backend="portable", chunk_size=8)
        for size in (1, 300, 1000):
            monkeypatch.setattr(portable, "TILE", size)
            for mine, true in zip(run(operands, backend="portable", chunk_size=8), whole, strict=True):
                torch.testing.assert_close(mine, true, rtol=1e-12, atol=1e-13)
        monkeypatch.undo()


@pytest.mark.parametrize("total", [79.0, 81.0])
@pytest.mark.parametrize("where", ["spread", "one step", "first step"])
def test_float32_on_both_sides_of_what_counts_as_weak(total: float, where: str, relative_l2: Any) -> None:
    operands = [x.float().double() for x in draw(2, 70, 1, 2, 16, 12, regime="almost one")]
    operands[3][:, :32] = -total / 32 if where == "spread" else -1e-3
    if where != "spread":
        operands[3][:, 17 if where == "one step" else 0] = -total
    expected = run(operands, backend="reference", chunk_size=32)
    found = run(operands, torch.float32, backend="portable", chunk_size=32)
    for index, (mine, true) in enumerate(zip(found, expected, strict=True)):
        assert relative_l2(mine, true) <= (1e-6 if index < 2 else 5e-6), index


@pytest.mark.parametrize("reverse", [False, True])
def test_weak_and_strong_chunks_follow_each_other(reverse: bool) -> None:
    from seqsuite.ops._ssd._weak import weak_chunks

    operands = draw(3, 90, 2, 4, 3, 2, regime="almost one")
    operands[3][0, 13, 1] = -torch.inf
    operands[3][0, 40:60] *= 1e6
    operands[3][2, 89] = -200.0
    kinds = weak_chunks(operands[3], 8)
    assert kinds[1].all()
    assert kinds[0].tolist() == [True, False, True, True, True, False, False, False, True, True, True, True]
    assert kinds[2].tolist() == [True] * 11 + [False]
    options = {"scale": 0.5, "reverse": reverse, "chunk_size": 8}
    for mine, true in zip(
        run(operands, backend="portable", **options), run(operands, backend="reference", **options), strict=True
    ):
        torch.testing.assert_close(mine, true, rtol=1e-11, atol=1e-12)


@both_decays
def test_without_a_gradient_no_starts_are_kept_and_nothing_else_changes(vector: bool) -> None:
    for regime in ("mixed", "moderate"):
        operands = draw(2, 75, 2, 2, 3, 4, vector, regime)
        kept, dropped = (
            torch.ops.seqsuite.ssd_fwd(*operands, 1.0, False, 8, keep, "portable") for keep in (True, False)
        )
        assert len(kept[2]) == 10
        assert len(dropped[2]) == 0
        assert torch.equal(kept[0], dropped[0])
        assert torch.equal(kept[1], dropped[1])


@both_decays
def test_reverse_is_flip_run_flip(vector: bool) -> None:
    *operands, state = draw(2, 45, 1, 2, 4, 3, vector)
    backward = ssd(*operands, initial_state=state, reverse=True, return_final_state=True)
    mirrored = ssd(*(x.flip(1) for x in operands), initial_state=state, return_final_state=True)
    assert torch.equal(backward[0], mirrored[0].flip(1))
    assert torch.equal(backward[1], mirrored[1])


@pytest.mark.parametrize("reverse", [False, True])
@both_decays
def test_chunks_with_carried_state_are_the_whole(vector: bool, reverse: bool) -> None:
    *operands, state = draw(2, 69, 1, 2, 4, 3, vector)
    whole = ssd(*operands, initial_state=state, reverse=reverse, return_final_state=True)
    parts = []
    cuts = [slice(0, 1), slice(1, 36), slice(36, 69)]
    for cut in cuts[::-1] if reverse else cuts:
        part, state = ssd(*(x[:, cut] for x in operands), initial_state=state, reverse=reverse, return_final_state=True)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts[::-1] if reverse else parts, 1), whole[0], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(state, whole[1], rtol=1e-11, atol=1e-12)


def test_constant_decays_are_the_same_at_every_step() -> None:
    q, k, v, g, state = draw(2, 70, 1, 3, 4, 2)
    rate = g[0, 0].clone().requires_grad_()
    everywhere = rate.detach().expand_as(g).clone().requires_grad_()
    constant = ssd(q, k, v, rate, initial_state=state, seq=Seq.from_lengths([70, 33], 70))
    varying = ssd(q, k, v, everywhere, initial_state=state, seq=Seq.from_lengths([70, 33], 70))
    assert torch.equal(constant, varying)
    (by_head,) = torch.autograd.grad(constant.square().sum(), rate)
    (by_step,) = torch.autograd.grad(varying.square().sum(), everywhere)
    torch.testing.assert_close(by_head, by_step.sum((0, 1)))


@both_decays
def test_weak_constant_decays_keep_their_accuracy_over_long_sequences(vector: bool, relative_l2: Any) -> None:
    q, k, v, g, _ = draw(1, 3000, 1, 2, 4, 3, vector)
    rate = torch.log1p(-(2.0 ** -torch.tensor([5.0, 12.0]))).float().view(2, *[1] * vector).expand_as(g)
    expected = ssd(q, k, v, rate.double(), backend="reference")
    assert relative_l2(ssd(q.float(), k.float(), v.float(), rate), expected) < 1e-6


@both_decays
def test_a_decay_of_zero_forgets_everything(vector: bool) -> None:
    *operands, state = draw(1, 40, 1, 2, 3, 2, vector)
    operands[3][:, 21] = -torch.inf
    late = ssd(*operands, initial_state=state)[:, 21:]
    alone = ssd(*(x[:, 21:] for x in operands))
    torch.testing.assert_close(late, alone, rtol=1e-12, atol=1e-13)
    grads = run([*operands, state])[2:]
    assert all(torch.isfinite(x).all() for x in grads)
    assert not grads[3][:, 21].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@both_decays
def test_low_precision_input_is_computed_in_float32(vector: bool, dtype: torch.dtype, relative_l2: Any) -> None:
    low = [x.to(dtype) for x in draw(2, 70, 1, 2, 4, 3, vector)]
    o, state, *grads = run(low, dtype)
    assert o.dtype == dtype
    assert state.dtype == torch.float32
    assert all(x.dtype == dtype for x in grads)
    exact = run([x.double() for x in low], backend="reference")
    assert relative_l2(state, exact[1]) < 1e-6
    for mine, true in zip([o, *grads], [exact[0], *exact[2:]], strict=True):
        assert relative_l2(mine, true) < 1e-2


def test_autocast_does_not_lower_the_precision() -> None:
    operands = [x.float() for x in draw(2, 20, 1, 2, 4, 4)[:4]]
    plain = ssd(*operands)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssd(*operands), plain)


def test_differentiating_twice_is_refused() -> None:
    operands = draw()[:4]
    leaf = operands[0].requires_grad_()
    (grad,) = torch.autograd.grad(ssd(*operands).sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("v", (2, 7, 2), r"^v must be \(B, L, H, V\) with L > 0"),
        ("v", (2, 0, 2, 2), r"^v must be \(B, L, H, V\) with L > 0"),
        ("q", (2, 6, 1, 3), "^q must be"),
        ("q", (2, 7, 3, 3), "^q must be .* G dividing H"),
        ("k", (2, 7, 1, 4), r"^k must be \(2, 7, 1, 3\) like q, got \(2, 7, 1, 4\)"),
        ("g", (2, 7, 3), r"^g must be \(H,\), .* got \(2, 7, 3\)"),
        ("g", (2, 7, 2, 2), "^g must be"),
        ("initial_state", (2, 2, 2, 3), r"^initial_state must be \(2, 2, 3, 2\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(name: str, shape: tuple[int, ...], message: str) -> None:
    named = dict(zip(NAMES, draw(), strict=True)) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=message):
        ssd(**named)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
@pytest.mark.parametrize("name", NAMES)
def test_an_operand_that_is_not_floating_point_is_named(name: str, dtype: torch.dtype) -> None:
    named = dict(zip(NAMES, draw(), strict=True))
    named[name] = named[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be .*not {dtype}$"):
        ssd(**named)


@pytest.mark.parametrize("size", [0, 3, 24, 512])
def test_a_chunk_size_that_is_none_is_told(size: int) -> None:
    with pytest.raises(ValueError, match=f"chunk_size must be a power of two from 1 to 256, got {size}"):
        ssd(*draw()[:4], chunk_size=size)


def test_a_path_that_cannot_serve_says_why() -> None:
    with pytest.raises(UserError, match=r"ssd: backend 'triton' cannot serve this call: .*; use 'portable'"):
        ssd(*draw()[:4], backend="triton")


@both_decays
@pytest.mark.parametrize("sizes", [(0, 2, 3, 2), (2, 2, 0, 2), (2, 2, 3, 0), (2, 0, 3, 2)])
def test_without_rows_heads_keys_or_values_there_is_nothing(sizes: tuple[int, ...], vector: bool) -> None:
    batch, heads, keys, values = sizes
    operands = draw(batch, 5, 1, heads, keys, values, vector)
    o, last, *grads = run(operands, seq=Seq.from_lengths(torch.full((batch,), 5), 5))
    assert o.shape == (batch, 5, heads, values)
    assert not o.any()
    assert last.shape == (batch, heads, keys, values)
    assert [x.shape for x in grads] == [x.shape for x in operands]


@both_decays
def test_registered_operators_obey_the_rules_of_torch(vector: bool) -> None:
    operands = draw(1, 5, 2, 2, 2, 3, vector)
    options = (0.5, True, 2)
    forward, backward = torch.ops.seqsuite.ssd_fwd, torch.ops.seqsuite.ssd_bwd
    for keep in (True, False):
        torch.library.opcheck(forward, (*operands, *options, keep, "portable"))
    torch.library.opcheck(forward, (*operands[:4], None, *options, True, "portable"))
    o, state, starts = forward(*operands, *options, True, "portable")
    torch.library.opcheck(backward, (o, state, starts, *operands, *options, "portable"))


def test_compile_sees_one_opaque_operator() -> None:
    operands = draw(1, 6, 1, 2, 2, 2)
    leaf = operands[0].requires_grad_()

    def loss(q: torch.Tensor) -> torch.Tensor:
        return (ssd(q, *operands[1:4], initial_state=operands[4], reverse=True) ** 2).sum()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    (found,) = torch.autograd.grad(compiled(leaf), leaf)
    torch.testing.assert_close(found, expected)
