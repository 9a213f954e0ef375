from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqsuite.objectives import IGNORE, mask_tokens

OPTIONS = {"mask_id": 3, "random_ids": (7, 8, 9, 10), "special_ids": (0, 1, 4)}


def tokens_of(seed: int, shape: tuple[int, ...] = (4, 50)) -> torch.Tensor:
    return torch.randint(0, 12, shape, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 2**31), rate=st.floats(0, 1))
def test_labels_hold_what_was_there_and_nothing_else_changes(seed, rate):
    tokens = tokens_of(seed)
    before = tokens.clone()
    ids, labels = mask_tokens(tokens, torch.Generator().manual_seed(seed), mask_rate=rate, **OPTIONS)
    asked = labels != IGNORE
    assert torch.equal(tokens, before)
    assert torch.equal(labels[asked], tokens[asked])
    assert torch.equal(ids[~asked], tokens[~asked])
    assert not torch.isin(tokens[asked], torch.tensor(OPTIONS["special_ids"])).any()
    changed = ids[asked & (ids != tokens)]
    assert torch.isin(changed, torch.tensor([3, *OPTIONS["random_ids"]])).all()


def test_same_generator_state_gives_the_same_and_the_next_draw_differs():
    tokens, generator = tokens_of(0), torch.Generator()
    first = mask_tokens(tokens, generator.manual_seed(5), **OPTIONS)
    second = mask_tokens(tokens, generator, **OPTIONS)
    again = mask_tokens(tokens, generator.manual_seed(5), **OPTIONS)
    assert torch.equal(first.input_ids, again.input_ids)
    assert not torch.equal(first.labels, second.labels)


def test_shares_are_those_asked_for():
    tokens = torch.full((400, 1000), 7)
    ids, labels = mask_tokens(tokens, torch.Generator().manual_seed(0), mask_id=3, random_ids=range(12))
    asked = labels != IGNORE
    # Five standard errors of a share p of n draws.
    for share, p, n in (
        (asked.float().mean(), 0.15, tokens.numel()),
        ((ids[asked] == 3).float().mean(), 0.8 + 0.1 / 12, int(asked.sum())),
        ((ids[asked] == 7).float().mean(), 0.1 + 0.1 / 12, int(asked.sum())),
        ((ids[asked] == 11).float().mean(), 0.1 / 12, int(asked.sum())),
    ):
        assert abs(share.item() - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_numpy_in_numpy_out_from_numpys_generator():
    tokens = tokens_of(1).numpy().astype(np.uint8)
    ids, labels = mask_tokens(tokens, np.random.default_rng(3), **OPTIONS)
    again = mask_tokens(torch.from_numpy(tokens), np.random.default_rng(3), **OPTIONS)
    assert isinstance(ids, np.ndarray)
    np.testing.assert_array_equal(ids, again.input_ids.numpy())
    np.testing.assert_array_equal(labels, again.labels.numpy())


def test_rates_that_are_no_shares_are_refused():
    with pytest.raises(ValueError, match=r"mask_rate=1.5"):
        mask_tokens(tokens_of(0), torch.Generator(), mask_rate=1.5, **OPTIONS)
