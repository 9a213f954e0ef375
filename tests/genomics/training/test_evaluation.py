"""Measuring a masked model one position at a time, and the masked windows it learns from."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import seqsuite
from seqdna.configs import PretrainConfig
from seqdna.data import Genome, Interval, TrainWindows, eval_sites
from seqdna.evaluation import score_sites, standard_error
from seqdna.tasks import LanguageModelling, MaskedWindows
from seqdna.tokenizers import NucleotideTokenizer

TOKENIZER = NucleotideTokenizer()


@pytest.fixture(scope="module")
def genome() -> Genome:
    draws = np.random.default_rng(3).integers(0, 4, 600)
    return Genome.from_sequences({"r": "".join("ACGT"[i] for i in draws[:300]) + "NNNNNNNN" + "ACGTTGCA" * 30})


class Oracle(nn.Module):
    """Knows the base at every position of the genome's windows, and trusts what it sees otherwise."""

    def __init__(self, certainty: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(head="masked_lm")
        self.certainty, self.seen = certainty, []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.seen.append(ids.clone())
        logits = torch.zeros(*ids.shape, 16)
        logits[..., 7] = math.log(self.certainty)
        logits[..., 8:11] = math.log((1 - self.certainty) / 3)
        logits[..., 11:] = 50.0  # never asked for: the bits are over A, C, G, T
        return logits


def test_a_model_that_always_says_a_has_the_bits_it_deserves(genome) -> None:
    sites = eval_sites([Interval("r", 0, 300)], genome, 100, 20)
    scores = score_sites(Oracle(0.7), sites, TOKENIZER, batch_tokens=200)
    expected = np.where(sites.target == 7, -math.log2(0.7), -math.log2(0.1))
    np.testing.assert_allclose(scores.bits, expected, atol=1e-6)
    assert scores.mean == pytest.approx(expected.mean())
    assert scores.standard_error == pytest.approx(expected.std(ddof=1) / 10)
    assert math.isnan(standard_error(expected[:1]))


def test_exactly_the_measured_base_is_masked(genome) -> None:
    sites = eval_sites([Interval("r", 0, 300)], genome, 50, 16)
    model = Oracle(0.5)
    score_sites(model, sites, TOKENIZER, batch_tokens=64)
    seen = torch.cat(model.seen).numpy()
    original = sites.windows(slice(None))
    masked = seen == TOKENIZER.mask_id
    assert (masked.sum(1) == 1).all()
    assert (masked.argmax(1) == sites.offset).all()
    assert (seen[~masked] == original[~masked]).all()


def test_bits_do_not_depend_on_the_batch(genome) -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model("caduceus_ps_debug", vocab_size=12)
    sites = eval_sites([Interval("r", 0, 300)], genome, 12, 24)
    one, many = (score_sites(model, sites, TOKENIZER, batch_tokens=n).bits for n in (1, 10_000))
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert model.training


def test_masked_windows_are_a_function_of_seed_and_position(genome) -> None:
    windows = TrainWindows(genome, [Interval("r", 0, 548)], 32, seed=1)
    data = MaskedWindows(windows, TOKENIZER, mask_rate=0.3, seed=1)
    items = {p: data[p] for p in (0, 5, 1_000_003)}
    for position, item in reversed(items.items()):
        again = data[position]
        assert torch.equal(item["input_ids"], again["input_ids"])
        assert torch.equal(item["labels"], again["labels"])
    other = MaskedWindows(windows, TOKENIZER, mask_rate=0.3, seed=2)
    assert not torch.equal(other[0]["labels"], items[0]["labels"])
    with pytest.raises(TypeError):
        len(data)


def test_only_bases_are_asked_for_and_they_are_the_genomes(genome) -> None:
    windows = TrainWindows(genome, [Interval("r", 280, 330)], 40, seed=1)  # across the N
    data = MaskedWindows(windows, TOKENIZER, mask_rate=0.5, seed=1)
    asked = 0
    for position in range(50):
        item, ids = data[position], windows.ids(position)
        labels = item["labels"].numpy()
        where = labels != -100
        assert set(labels[where]) <= {7, 8, 9, 10}
        assert (labels[where] == ids[where]).all()
        assert (item["input_ids"].numpy()[~where] == ids[~where]).all()
        asked += where.sum() / (ids != TOKENIZER.n_id).sum()
    assert asked / 50 == pytest.approx(0.5, abs=0.05)


def test_the_task_reports_bits_and_survives_a_window_without_bases() -> None:
    config = PretrainConfig(steps=1)
    task = LanguageModelling(seqsuite.create_model("caduceus_ps_debug", vocab_size=12), config, TOKENIZER)
    ids = torch.full((2, 8), TOKENIZER.n_id)
    scores = task.training_scores({"input_ids": ids, "labels": torch.full((2, 8), -100)})
    assert scores.loss == 0
    scores.loss.backward()
    assert task.finish({"loss": math.log(2)})["bits"] == pytest.approx(1)
