"""MixToken: where boxes lie, and that swapping is its own inverse."""

from __future__ import annotations

import pytest
import torch

from seqvision.models.simba_tokens import draw_box, swap_box


@pytest.mark.parametrize(("height", "width"), [(7, 7), (1, 1), (3, 10), (0, 4)])
def test_a_box_lies_within_the_map(height, width):
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_box(height, width, generator) for _ in range(300)]
    for top, left, bottom, right in boxes:
        assert 0 <= top <= bottom <= height
        assert 0 <= left <= right <= width


def test_boxes_reach_every_cell_and_differ_in_size():
    generator = torch.Generator().manual_seed(0)
    covered = torch.zeros(7, 7)
    areas = set()
    for _ in range(500):
        top, left, bottom, right = draw_box(7, 7, generator)
        covered[top:bottom, left:right] += 1
        areas.add((bottom - top) * (right - left))
    assert covered.min() > 0
    assert min(areas) == 0
    assert max(areas) >= 36


def test_a_box_is_a_function_of_the_generator():
    first, second = (draw_box(70, 50, torch.Generator().manual_seed(seed)) for seed in (3, 3))
    assert first == second
    assert first != draw_box(70, 50, torch.Generator().manual_seed(4))


@pytest.mark.parametrize("scale", [1, 4])
def test_the_box_comes_from_the_partner_and_goes_back(scale):
    x = torch.randn(4, 8, 12, 3)
    mixed = swap_box(x, (0, 1, 2, 3), scale)
    inside = (slice(None), slice(0, 2 * scale), slice(scale, 3 * scale))
    torch.testing.assert_close(mixed[inside], x.flip(0)[inside], rtol=0, atol=0)
    untouched = torch.ones(8, 12, dtype=torch.bool)
    untouched[inside[1:]] = False
    torch.testing.assert_close(mixed[:, untouched], x[:, untouched], rtol=0, atol=0)
    torch.testing.assert_close(swap_box(mixed, (0, 1, 2, 3), scale), x, rtol=0, atol=0)


def test_an_empty_box_changes_nothing():
    x = torch.randn(2, 3, 3, 4)
    torch.testing.assert_close(swap_box(x, (1, 1, 1, 1)), x, rtol=0, atol=0)
