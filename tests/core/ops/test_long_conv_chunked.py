"""The long convolution in blocks against the one in one piece, over tensors and memory-mapped arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsuite.ops import long_conv, long_conv_chunked
from seqsuite.ops._long_conv import chunked


def draw(length: int, taps: int, width: int = 3, dtype: torch.dtype = torch.float64, seed: int = 0) -> Any:
    random = torch.Generator().manual_seed(seed)
    shapes = [(length, width), (taps, width), (width,)]
    return [torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype) for shape in shapes]


@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(1, 80),
    st.sampled_from([None, 1, 2, 5]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_blocks_are_the_whole(
    length: int, taps: int, block: int, channels: int | None, with_skip: bool, in_place: bool
) -> None:
    u, k, D = draw(length, taps)
    D = D if with_skip else None
    expected = long_conv(u[None], k, D=D, backend="reference")[0]
    kept = k.clone()
    out = u if in_place else torch.full_like(u, torch.nan)
    long_conv_chunked(u, k, out, D=D, block=block, channels=channels)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)
    assert torch.equal(k, kept)


@pytest.mark.parametrize("block", [100, 256, 1000, 4096])
def test_float32_is_within_the_stated_distance(block: int, relative_l2: Any) -> None:
    u, k, D = draw(3000, 3000, dtype=torch.float32)
    out = torch.empty_like(u)
    long_conv_chunked(u, k, out, D=D, block=block)
    exact = long_conv(u[None].double(), k.double(), D=D.double())[0]
    assert relative_l2(out, exact) <= 1e-6
    assert (out - long_conv(u[None], k, D=D)[0]).abs().max() <= 1e-5 * out.abs().max()


def test_memory_mapped_arrays_are_read_and_written_in_place(tmp_path: Any) -> None:
    u, k, D = draw(500, 500, dtype=torch.float32)
    arrays = {}
    for name, tensor in (("u", u), ("k", k)):
        np.save(tmp_path / f"{name}.npy", tensor.numpy())
        arrays[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    np.save(tmp_path / "out.npy", np.full(u.shape, np.nan, np.float32))
    out = np.load(tmp_path / "out.npy", mmap_mode="r+")
    long_conv_chunked(arrays["u"], arrays["k"], out, D=D, block=64, channels=2)
    out.flush()
    expected = long_conv(u[None], k, D=D)[0].numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_rows_of_a_batch_run_together() -> None:
    u, k, D = draw(40, 30)
    batch = torch.stack((u, u.flip(0)))
    out = torch.empty_like(batch)
    long_conv_chunked(batch, k, out, D=D, block=7)
    torch.testing.assert_close(out, long_conv(batch, k, D=D), rtol=1e-11, atol=1e-11)


def test_no_transform_is_longer_than_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    inner = torch.fft.rfft

    def counted(x: torch.Tensor, n: int, **options: Any) -> torch.Tensor:
        sizes.append(n * x.shape[-1])
        return inner(x, n, **options)

    monkeypatch.setattr(torch.fft, "rfft", counted)
    u, k, _ = draw(1000, 1000)
    long_conv_chunked(u, k, torch.empty_like(u), block=100, channels=1)
    assert max(sizes) == chunked.fft_length(199)
    assert len(sizes) == 3 * 10 * 11  # for each channel and each of the n (n + 1) / 2 pairs two


def test_what_does_not_fit_is_named() -> None:
    u, k, D = draw(10, 10)
    with pytest.raises(ValueError, match=r"^u must be \(..., L, D\) with L > 0"):
        long_conv_chunked(u[:0], k, u[:0])
    with pytest.raises(ValueError, match=r"^k must be \(K, D\) with K > 0 and D = 3, got \(10, 2\)"):
        long_conv_chunked(u, k[:, :2], u)
    with pytest.raises(ValueError, match=r"^out must be \(10, 3\) as u, got \(9, 3\)"):
        long_conv_chunked(u, k, u[1:])
    with pytest.raises(ValueError, match=r"^D must be \(3,\)"):
        long_conv_chunked(u, k, u, D=D[:1])
    with pytest.raises(ValueError, match=r"^block must be at least 1, got 0"):
        long_conv_chunked(u, k, u, block=0)
