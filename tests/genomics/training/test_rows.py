"""Rows by objective: what is asked for, what is shown, and that both depend on (seed, position) alone."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.configs import PretrainConfig
from seqdna.data import Genome, Interval, TrainWindows
from seqdna.tasks import CausalWindows, LanguageModelling, LeaveOneOutWindows, MaskedWindows
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.objectives import IGNORE, cross_entropy, next_token_labels

TOKENIZER = NucleotideTokenizer()
PAD, SEP, N = TOKENIZER.pad_id, TOKENIZER.id_of("[SEP]"), TOKENIZER.n_id
MAKERS = {
    "masked": functools.partial(MaskedWindows, mask_rate=0.4),
    "published": functools.partial(MaskedWindows, mask_rate=0.4, masking="published"),
    "causal": CausalWindows,
    "leave_one_out": LeaveOneOutWindows,
}


@pytest.fixture(scope="module")
def windows() -> TrainWindows:
    draws = np.random.default_rng(3).integers(0, 4, 600)
    text = "".join("ACGT"[i] for i in draws)
    genome = Genome.from_sequences({"r": text[:300] + "N" * 12 + "R" * 3 + text[300:]})
    return TrainWindows(genome, [Interval("r", 250, 380)], 32, seed=1)


class Fixed:
    """The same window at every position."""

    def __init__(self, ids: list[int]) -> None:
        self.window, self.length = np.array(ids, dtype=np.uint8), len(ids)

    def ids(self, position: int) -> np.ndarray:
        return self.window


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("augment", [False, True])
def test_rows_are_a_function_of_seed_and_position(windows, name, augment) -> None:
    make = functools.partial(MAKERS[name], windows, TOKENIZER, augment=augment)
    rows, again, other = make(seed=1), pickle.loads(pickle.dumps(make(seed=1))), make(seed=2)
    places = [0, 5, 1_000_003]
    items = {p: rows[p] for p in places}
    for p in reversed(places):
        assert all(torch.equal(again[p][key], items[p][key]) for key in ("input_ids", "labels"))
    if augment or name in ("masked", "published"):
        assert any(not torch.equal(other[p]["input_ids"], rows[p]["input_ids"]) for p in range(20))


def test_augmentation_shows_half_of_the_windows_from_the_other_strand(windows) -> None:
    plain = LeaveOneOutWindows(windows, TOKENIZER, seed=1)
    shown = LeaveOneOutWindows(windows, TOKENIZER, seed=1, augment=True)
    turned = 0
    for p in range(400):
        ids, seen = plain[p]["input_ids"].numpy(), shown[p]["input_ids"].numpy()
        other = TOKENIZER.reverse_complement(ids)
        assert (seen == ids).all() or (seen == other).all()
        turned += not (seen == ids).all()
    assert abs(turned - 200) < 5 * 10  # five standard deviations of 400 fair coins


def test_causal_rows_ask_for_the_next_base(windows) -> None:
    rows = CausalWindows(windows, TOKENIZER, seed=1)
    special = [i for i in range(TOKENIZER.vocab_size) if i not in TOKENIZER.base_ids]
    for p in range(30):
        item = rows[p]
        expected = next_token_labels(item["input_ids"][None], ignore=special)[0]
        assert torch.equal(item["labels"], expected)
        assert (item["input_ids"].numpy() == windows.ids(p)).all()


def test_eos_is_the_last_target_and_no_input(windows) -> None:
    """The published row is seq [SEP]: inputs row[:-1], targets row[1:]."""
    plain, published = (CausalWindows(windows, TOKENIZER, seed=1, eos=eos)[3] for eos in (False, True))
    assert torch.equal(plain["input_ids"], published["input_ids"])
    assert published["labels"][-1] == SEP
    assert plain["labels"][-1] == IGNORE
    assert torch.equal(plain["labels"][:-1], published["labels"][:-1])


def test_leave_one_out_asks_for_every_base_and_nothing_else(windows) -> None:
    rows = LeaveOneOutWindows(windows, TOKENIZER, seed=1)
    for p in range(30):
        ids, labels = rows[p]["input_ids"].numpy(), rows[p]["labels"].numpy()
        bases = np.isin(ids, TOKENIZER.base_ids)
        assert (labels[bases] == ids[bases]).all()
        assert (labels[~bases] == IGNORE).all()


def test_guarded_masking_keeps_to_the_letters(windows) -> None:
    rows = MaskedWindows(windows, TOKENIZER, mask_rate=0.5, seed=1)
    for p in range(100):
        shown, labels, ids = rows[p]["input_ids"].numpy(), rows[p]["labels"].numpy(), windows.ids(p)
        changed = shown != ids
        assert set(shown[changed]) <= {TOKENIZER.mask_id, *TOKENIZER.base_ids}
        assert np.isin(ids[changed], TOKENIZER.base_ids).all()
        assert (labels[changed] == ids[changed]).all()


def test_published_masking_is_the_recipe() -> None:
    """15 % are chosen, N is [PAD] and never asked for, and any of the 12 tokens may stand in as a random letter."""
    ids = [7, 8, 9, 10, N, 6] * 50
    rows = MaskedWindows(Fixed(ids), TOKENIZER, mask_rate=0.15, masking="published", seed=0)
    items = [rows[p] for p in range(200)]
    shown = np.stack([item["input_ids"].numpy() for item in items])
    labels = np.stack([item["labels"].numpy() for item in items])
    original = np.where(np.array(ids) == N, PAD, ids)
    chosen = labels != IGNORE
    assert not chosen[:, original == PAD].any()
    assert (labels == original)[chosen].all()
    assert set(labels[chosen]) == {6, 7, 8, 9, 10}  # the unknown letter is asked for as well
    total = chosen[:, original != PAD].size
    share = chosen.sum() / total
    assert abs(share - 0.15) < 5 * np.sqrt(0.15 * 0.85 / total)
    masked = (shown == TOKENIZER.mask_id)[chosen].mean()
    # A random letter is [MASK] too, one time in twelve.
    assert abs(masked - (0.8 + 0.1 / 12)) < 5 * np.sqrt(0.16 / chosen.sum())
    replaced = shown[chosen & (shown != original)]
    assert set(replaced) == set(range(TOKENIZER.vocab_size))
    assert set(shown[:, original == PAD].ravel()) == set(range(TOKENIZER.vocab_size))


@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_without_a_base_has_no_loss_and_no_gradient(name) -> None:
    rows = MAKERS[name](Fixed([N] * 16), TOKENIZER, seed=0)
    model = seqsuite.create_model("caduceus_ps_debug", vocab_size=12)
    task = LanguageModelling(model, PretrainConfig(steps=1), TOKENIZER)
    batch = {key: torch.stack([rows[p][key] for p in range(3)]) for key in ("input_ids", "labels")}
    scores = task.training_scores(batch)
    assert scores.loss == 0
    assert scores.totals["loss"][1] == 0
    scores.loss.backward()
    assert all(not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name", MAKERS)
def test_a_window_without_a_base_leaves_the_loss_of_the_others_alone(windows, name) -> None:
    """The mean is over labels, not over windows."""
    rows, empty = MAKERS[name](windows, TOKENIZER, seed=0), MAKERS[name](Fixed([N] * 32), TOKENIZER, seed=0)
    torch.manual_seed(0)
    model = seqsuite.create_model("caduceus_ps_debug", vocab_size=12, padding="as_published").double()
    alone, company = (
        cross_entropy(
            model(torch.stack([r[4]["input_ids"] for r in batch])), torch.stack([r[4]["labels"] for r in batch])
        )
        for batch in ((rows,), (rows, empty))
    )
    torch.testing.assert_close(company.mean, alone.mean, rtol=1e-12, atol=0)
