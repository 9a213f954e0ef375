"""Batches: a row's masks are its own, whatever stands beside it; and every mode asks for what it should."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from seqchem.collating import RTBatch, number_region, text_region
from seqchem.objectives import self_consistency_batch
from seqchem.tokenizers import NumberFormat, Tokenizer, build_vocabulary
from seqchem.training.augment import Augmenter
from seqchem.training.batches import Masking, ScoringRows, TrainingRows
from seqchem.training.order import Schedule
from seqchem.training.rows import TokenRows
from seqsuite.objectives import IGNORE


@pytest.fixture
def made(molecules):
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=len(molecules)) for name in ("a", "b")}
    values["b"][::3] = np.nan
    values["a"][::7] = np.nan
    formats = {name: NumberFormat.from_values(column[~np.isnan(column)]) for name, column in values.items()}
    tokenizer = Tokenizer(build_vocabulary(molecules, "smiles", formats), "smiles", number_formats=formats)
    return TokenRows.of(tokenizer, molecules, values), tokenizer


def data(made, task="both", *, alternate=1, batch_size=8, augmenter=None, **masking):
    rows, tokenizer = made
    schedule = Schedule(task, alternate)
    options = {"batch_size": batch_size, "seed": 4, "bucket": 2, "augmenter": augmenter}
    return TrainingRows(rows, tokenizer, schedule, Masking(**masking), **options)


def batch_at(dataset, step, rows=slice(None)):
    first = step * dataset.batch_size
    return dataset.collate([dataset[position] for position in range(first, first + dataset.batch_size)[rows]])


def test_a_row_does_not_depend_on_its_batch(made):
    for task, step in (("both", 0), ("both", 1), ("plm", 3)):
        dataset = data(made, task, consistent=True, whole=0.3)
        whole = batch_at(dataset, step)
        for place in range(dataset.batch_size):
            alone = batch_at(dataset, step, slice(place, place + 1))
            for name, value in alone.items():
                if name == "mode":
                    continue
                together, single = whole[name][place], value[0]
                if name.endswith(("positions", "position_labels")):
                    kept = whole[name.replace("positions", "position_labels")][place] != IGNORE
                    mine = alone[name.replace("positions", "position_labels")][0] != IGNORE
                    assert torch.equal(together[kept], single[mine])
                    continue
                corner = tuple(slice(0, size) for size in single.shape)
                assert torch.equal(together[corner], single), name


def test_property_steps_ask_for_a_number_of_every_row(made):
    rows, tokenizer = made
    dataset = data(made, "property", leading=0.0, drop_others=0.5)
    asked, texts = set(), 0
    for step in range(12):
        batch = batch_at(dataset, step)
        assert batch["mode"] == "property"
        masked = batch["input_ids"] == tokenizer.mask_token_id
        filled = batch["input_ids"].scatter(
            1,
            batch["positions"],
            batch["position_labels"].where(batch["position_labels"] != IGNORE, tokenizer.cls_token_id),
        )
        for row in range(8):
            before = batch["input_ids"][row, int(masked[row].nonzero()[0]) - 1]
            asked.add(int(before))
            region = number_region(filled[row : row + 1], tokenizer, int(before))
            assert torch.equal(region[0], masked[row])
            given = tokenizer.properties_of(filled[row].tolist())
            texts += len(given)
            assert not any(np.isnan(value) for value in given.values())
    assert asked == set(rows.property_ids.values())
    assert 96 < texts < 2 * 96  # some rows show their other property, some do not


def test_dropping_and_leading_follow_their_options(made):
    _, tokenizer = made
    counts = {}
    for drop in (0.0, 1.0):
        dataset = data(made, "property", drop_others=drop, leading=0.0)
        ids = [batch_at(dataset, step)["input_ids"] for step in range(6)]
        counts[drop] = sum(int((one == tokenizer.separator_id).sum()) for one in ids)
    assert counts[1.0] == 48
    assert counts[0.0] > 60
    for leading, most in ((0.0, 0), (1.0, 48)):
        dataset = data(made, "property", leading=leading)
        labels = torch.cat([batch_at(dataset, step)["position_labels"] for step in range(6)])
        assert ((labels != IGNORE).sum(1) < 5).sum() == most


def test_generation_steps_mask_the_text_and_show_the_numbers(made):
    _, tokenizer = made
    for whole in (0.0, 1.0):
        dataset = data(made, "generation", whole=whole)
        for step in range(4):
            batch = batch_at(dataset, step)
            masked = batch["input_ids"] == tokenizer.mask_token_id
            text = text_region(batch["input_ids"], tokenizer)
            assert masked.any(1).all()
            assert not (masked & ~text).any()
            assert bool((masked == text).all()) == bool(whole)


def test_parts_of_reactions_are_masked_one_at_a_time():
    texts = ["CCO.CCN.CCF", "CC.NN.OO.SS"] * 4
    tokenizer = Tokenizer(build_vocabulary(texts, "reaction"), "reaction")
    rows = TokenRows.of(tokenizer, texts, {})
    dot = tokenizer.vocabulary.index(".")
    masking = Masking(separators=(dot,), entity=1, probability=1.0)
    dataset = TrainingRows(rows, tokenizer, Schedule("generation"), masking, batch_size=8, seed=0, bucket=1)
    batch = batch_at(dataset, 0)
    for row in batch["input_ids"].tolist():
        pieces = tokenizer.text_of(row).split(".")
        assert ["[MASK]" in piece for piece in pieces] == [place == 1 for place in range(len(pieces))]


def test_the_second_pass_asks_as_the_reference_does(made):
    """The row of the second pass, put together in the task, is that of `self_consistency_batch`."""
    from seqchem.training.task import RTTask
    from seqsuite.training import TrainConfig

    _, tokenizer = made
    dataset = data(made, "generation", consistent=True)
    task = RTTask(torch.nn.Linear(1, 1), TrainConfig())
    object.__setattr__(task, "network", type("Network", (), {"tokenizer": tokenizer})())
    for step in range(4):
        batch = batch_at(dataset, step)
        labels = torch.full_like(batch["input_ids"], IGNORE)
        real = batch["position_labels"] != IGNORE
        labels[real.nonzero()[:, 0], batch["positions"][real]] = batch["position_labels"][real]
        first = RTBatch(batch["input_ids"], batch["attention_mask"], batch["perm_mask"], labels, torch.ones(8))
        logits = torch.randn((*batch["positions"].shape, len(tokenizer)), generator=torch.Generator().manual_seed(step))
        asked = batch["again_input_ids"] == tokenizer.mask_token_id
        before = [batch["again_input_ids"][row, int(asked[row].nonzero()[0]) - 1] if asked[row].any() else -1
                  for row in range(8)]  # fmt: skip
        expected = self_consistency_batch(first, logits, tokenizer, torch.tensor(before), order="hidden")
        assert torch.equal(task._filled(batch, logits), expected.input_ids)
        assert torch.equal(batch["again_positions"], expected.positions())
        assert torch.equal(batch["again_position_labels"], expected.position_labels())


def test_scoring_asks_for_every_number_once(made):
    rows, tokenizer = made
    scored = ScoringRows(rows, tokenizer, Masking(), mode="conditional", seed=0)
    present = sum(int(column.sum()) for column in rows.present.values())
    nothing = int((~rows.present["a"] & ~rows.present["b"]).sum())
    assert len(scored) == present + nothing
    batch = scored.collate([scored[index] for index in range(len(scored))])
    pairs = set(zip(batch["row"].tolist(), batch["property"].tolist(), strict=True))
    assert len(pairs) == present
    assert len(batch["text_input_ids"]) == len(rows)
    assert (batch["input_ids"] == tokenizer.separator_id).sum(1).eq(1).all()
    for index, (row, number) in enumerate(zip(batch["row"].tolist(), batch["property"].tolist(), strict=True)):
        name = list(rows.present)[number]
        expected = rows.numbers[name][row].tolist()
        assert batch["position_labels"][index].tolist() == expected
    again = scored.collate([scored[index] for index in range(len(scored))])
    assert torch.equal(batch["text_input_ids"], again["text_input_ids"])


def test_models_without_an_order_get_none(made):
    for task in ("property", "generation", "plm"):
        assert "perm_mask" not in batch_at(data(made, task, permuted=False), 0)
        assert "perm_mask" in batch_at(data(made, task), 0)


def test_rewritten_molecules_are_the_same_molecules(made, molecules):
    from rdkit import Chem

    rows, tokenizer = made
    augmenter = Augmenter(molecules, tokenizer, probability=0.5, seed=2, longest=30)
    dataset = data(made, "generation", augmenter=augmenter, probability=0.01)
    changed = 0
    for position in range(64):
        item = dataset[position]
        ids = augmenter(item["row"], position)
        assert ids == augmenter(item["row"], position)
        if ids is not None:
            changed += ids != rows.sequence(item["row"])
            assert Chem.CanonSmiles("".join(tokenizer.decode(ids))) == Chem.CanonSmiles(molecules[item["row"]])
    assert 10 < changed < 50
    assert dataclasses.replace(Masking(), permuted=False).order == "none"
