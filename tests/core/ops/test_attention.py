"""Attention against scalar loops and the formula, its paths against each other, and its laws."""

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
from seqsuite.ops._attention import portable
from seqsuite.ops._attention.op import attention


def draw(
    batch: int = 2, length: int = 9, cached: int = 0, heads: int = 4, groups: int = 2, width: int = 4, seed: int = 0
) -> list[torch.Tensor]:
    """Queries, keys, values; float64."""
    random = torch.Generator().manual_seed(seed)
    keys = (batch, length + cached, groups)
    shapes = [(batch, length, heads, width), (*keys, width), (*keys, width + 1)]
    return [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3])
def test_reference_is_the_formula_written_with_scalars(causal: bool, window: int | None) -> None:
    q, k, v = draw(length=5, cached=2)
    slopes = torch.tensor([0.5, 0.25, 0.1, 0.0], dtype=torch.float64)
    out = attention(q, k, v, causal=causal, window=window, slopes=slopes, backend="reference")
    for b in range(2):
        for i in range(5):
            for h in range(4):
                weights = {}
                for j in range(7):
                    gap = i + 2 - j
                    if (causal and gap < 0) or (window and abs(gap) >= window):
                        continue
                    logit = sum(float(q[b, i, h, d] * k[b, j, h // 2, d]) for d in range(4)) / 2
                    weights[j] = math.exp(logit - float(slopes[h]) * abs(gap))
                for d in range(5):
                    mean = sum(w * float(v[b, j, h // 2, d]) for j, w in weights.items()) / sum(weights.values())
                    assert float(out[b, i, h, d]) == pytest.approx(mean, rel=1e-11)


SEQS = {
    "none": lambda batch, length, random: None,
    "lengths": lambda batch, length, random: Seq.from_lengths((random[:, 0] * (length + 1)).long(), length),
    "left": lambda batch, length, random: Seq.from_lengths((random[:, 0] * (length + 1)).long(), length, side="left"),
    "mask": lambda batch, length, random: Seq.from_mask(random < 0.7),
    "resets": lambda batch, length, random: Seq.from_resets(random < 0.3),
    "both": lambda batch, length, random: Seq.from_resets(random < 0.3, valid=random.flip(0, 1) < 0.7),
}


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(0, 6), st.sampled_from([2, 4]), st.integers(1, 2)),
    st.booleans(),
    st.sampled_from([None, 1, 2, 3, 20]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(list(SEQS)),
    st.integers(0, 99),
)
@settings(max_examples=120, deadline=None)
def test_paths_agree_for_any_flags(
    sizes: tuple[int, int, int, int, int],
    causal: bool,
    window: int | None,
    with_slopes: bool,
    with_past: bool,
    kind: str,
    seed: int,
) -> None:
    batch, length, cached, heads, _ = sizes
    leaves = [x.requires_grad_() for x in draw(*sizes, seed=seed)]
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed))
    seq = SEQS[kind](batch, length, random)
    slopes = torch.linspace(0, 1, heads, dtype=torch.float64) if with_slopes else None
    past = (random[:, -1] * (cached + 1)).long() if with_past else None

    def run(backend: str) -> list[torch.Tensor]:
        out = attention(
            *leaves, causal=causal, window=window, slopes=slopes, seq=seq, past=past, scale=0.7, backend=backend
        )
        loss = (out * torch.sin(torch.arange(out.numel()).view_as(out))).sum()
        return [out, *torch.autograd.grad(loss, leaves)]

    for mine, true in zip(run("portable"), run("reference"), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_the_derivatives(causal: bool) -> None:
    seq = Seq.from_resets(torch.tensor([[False, False, True, False, False], [True, False, False, False, True]]))
    leaves = [x.requires_grad_() for x in draw(length=5, width=2)]
    assert gradcheck(lambda *t: attention(*t, causal=causal, window=2, seq=seq), leaves)


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("length", [1, 2, 7, 63, 65, 130])
@pytest.mark.usefixtures("poisoned")
def test_float32_against_reference_float64(length: int, window: int | None, relative_l2: Any) -> None:
    tensors = [x.float() for x in draw(length=length, width=16)]
    results = []
    for dtype, backend in ((torch.float32, "portable"), (torch.float64, "reference")):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        out = attention(*leaves, causal=True, window=window, backend=backend)
        weight = torch.linspace(-1, 1, out.shape[-1], dtype=dtype)
        results.append([out, *torch.autograd.grad((out * weight).sum(), leaves)])
    for index, (mine, true) in enumerate(zip(*results, strict=True)):
        if length == 1 and index in (1, 2):  # one key: its weight is 1 and has no gradient
            assert mine.abs().max() <= 1e-6
        else:
            assert relative_l2(mine, true) <= (1e-6 if index == 0 else 5e-6)


def test_bfloat16(relative_l2: Any) -> None:
    tensors = [x.to(torch.bfloat16) for x in draw(length=65, width=16)]
    out = attention(*tensors, causal=True, window=9)
    assert out.dtype == torch.bfloat16
    assert relative_l2(out, attention(*(x.double() for x in tensors), causal=True, window=9)) <= 1e-2


def test_queries_behind_a_cache_are_the_last_of_the_whole() -> None:
    q, k, v = draw(length=12)
    for window in (None, 3):
        whole = attention(q, k, v, causal=True, window=window)
        for begin in (0, 1, 7, 11):
            torch.testing.assert_close(attention(q[:, begin:], k, v, causal=True, window=window), whole[:, begin:])


@pytest.mark.parametrize("causal", [False, True])
def test_a_folded_window_has_no_logits_of_far_blocks(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of PyTorch's attention sees a few windows of keys only."""
    seen = []
    original = portable._sdpa

    def watch(q: torch.Tensor, k: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        seen.append((q.shape[0] * q.shape[1], k.shape[1]))
        return original(q, k, *args, **options)

    monkeypatch.setattr(portable, "_sdpa", watch)
    attention(*draw(batch=1, length=200), causal=causal, window=8)
    assert seen == [(200, 16 if causal else 24)]


def test_padding_is_never_read() -> None:
    q, k, v = draw()
    seq = Seq.from_lengths([5, 5], 9)
    filled = [torch.cat((x[:, :5], torch.full_like(x[:, 5:], torch.nan)), 1) for x in (q, k, v)]
    for causal in (False, True):
        out = attention(*filled, causal=causal, seq=seq)
        torch.testing.assert_close(out[:, :5], attention(q[:, :5], k[:, :5], v[:, :5], causal=causal))
        assert not out[:, 5:].any()


@pytest.mark.parametrize("backend", ["reference", "portable"])
def test_without_key_channels_all_that_is_seen_counts_alike(backend: str) -> None:
    q, v = torch.zeros(2, 5, 2, 0, dtype=torch.float64), torch.randn(2, 5, 2, 3, dtype=torch.float64)
    mean = v.cumsum(1) / torch.arange(1, 6)[:, None, None]
    torch.testing.assert_close(attention(q, q, v, causal=True, backend=backend), mean)


@pytest.mark.parametrize("backend", ["reference", "portable"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"causal": True, "window": 2},
        {"window": 3, "slopes": torch.tensor([0.5, 0.25, 0.1, 0.0], dtype=torch.float64)},
        {"causal": True, "seq": Seq.from_lengths([9, 6], 9, side="left")},
    ],
    ids=lambda options: "-".join(options),
)
def test_dropout_sets_weights_to_zero_and_scales_the_others(options: dict[str, Any], backend: str) -> None:
    q, k, _ = draw()
    v = torch.eye(9, dtype=torch.float64)[None, :, None].expand(2, 9, 2, 9)  # the outputs are the weights
    whole = attention(q, k, v, backend=backend, **options)
    torch.manual_seed(0)
    drawn = [attention(q, k, v, dropout=0.25, backend=backend, **options) for _ in range(200)]
    kept = torch.stack(drawn)[:, whole > 1e-12]
    weights = whole[whole > 1e-12].expand_as(kept)
    torch.testing.assert_close(kept[kept != 0], weights[kept != 0] / 0.75, rtol=1e-9, atol=1e-12)
    assert (kept == 0).double().mean() == pytest.approx(0.25, abs=0.01)
    torch.manual_seed(0)
    again = attention(q, k, v, dropout=0.25, backend=backend, **options)
    assert torch.equal(again, drawn[0])  # torch's generator is all that it draws from


@pytest.mark.parametrize("backend", ["reference", "portable"])
def test_the_gradient_passes_the_weights_that_were_kept(backend: str) -> None:
    operands = [x.requires_grad_() for x in draw(length=5)]

    def run(*given: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return attention(*given, causal=True, dropout=0.5, backend=backend)

    assert gradcheck(run, operands)


def test_what_does_not_fit_is_named() -> None:
    q, k, v = draw()
    for options, message in (
        ({"k": k[:, 1:], "v": v[:, 1:]}, r"^k must be \(2, S, G, 4\) with S >= 9"),
        ({"k": k[..., 1:]}, r"^k must be"),
        ({"k": k.repeat(1, 1, 3, 1)}, r"^k must have a number of heads that divides the 4 of q, got 6"),
        ({"v": v[:, 1:]}, r"^v must be"),
        ({"q": q[:, :0]}, r"^q must be .* L > 0"),
        ({"slopes": torch.ones(3)}, r"^slopes must be \(4,\)"),
        ({"past": torch.ones(3)}, r"^past must be \(2,\)"),
        ({"window": 0}, r"^window must be at least 1, got 0"),
        ({"dropout": 1.0}, r"^dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, r"^dropout must be at least 0 and below 1, got -0.1"),
        ({"seq": Seq.from_lengths([5, 5], 8)}, r"^seq.valid is"),
    ):
        with pytest.raises(ValueError, match=message):
            attention(**({"q": q, "k": k, "v": v} | options))
    with pytest.raises(TypeError, match=r"^k must be .*not torch.int64$"):
        attention(q, k.long(), v)
    with pytest.raises(UserError, match="'triton' cannot serve this call"):
        attention(q, k, v, backend="triton")
