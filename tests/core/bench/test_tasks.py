"""The synthetic tasks against their definitions, written again here as slow loops over single rows."""

from __future__ import annotations

import itertools
import statistics

import pytest
import torch

from seqsuite.bench.tasks import TASKS, create_task
from seqsuite.bench.tasks.listops import OPERATORS, tokens, value
from seqsuite.bench.tasks.state_tracking import multiplication
from seqsuite.errors import UserError

SMALL = {
    "copying": {"length": 7, "shortest": 3},
    "selective_copying": {"length": 12, "tokens": 4},
    "induction_heads": {"length": 10},
    "mqar": {"length": 16, "ids": 64, "spacing": 4},
    "joint_recall": {"length": 3, "keys": 2},
    "parity": {"length": 9},
    "cyclic": {"length": 9, "group": "Z7"},
    "s3": {"length": 9},
    "s5": {"length": 9},
    "listops": {"length": 20},
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(name, length=None, count=40, **options):
    """Every row of a batch as (inputs, targets, loss, scored), lists."""
    task = create_task(name, {**SMALL[name], **options})
    batch = task.draw_at(count, length or task.length, generator())
    return list(zip(*(part.tolist() for part in batch), strict=True))


def marked(targets, where):
    return [target for target, flag in zip(targets, where, strict=True) if flag]


def test_every_task_has_a_small_case():
    assert set(SMALL) == set(TASKS)


@pytest.mark.parametrize("name", SMALL)
def test_a_batch_is_a_function_of_its_generator(name):
    task = create_task(name, SMALL[name])
    state = torch.random.get_rng_state()
    first, again, other = (task.draw(16, generator(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("name", SMALL)
def test_shapes_ids_and_marks(name, factor):
    task = create_task(name, SMALL[name])
    batch = task.draw_at(8, factor * task.length, generator())
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.loss.dtype == batch.scored.dtype == torch.bool
    assert len({part.shape for part in batch}) == 1
    assert 0 <= int(batch.inputs.min()) <= int(batch.inputs.max()) < task.vocab_size
    assert 0 <= int(batch.targets.min()) <= int(batch.targets.max()) < task.vocab_size
    assert batch.scored.any(1).all()
    assert (batch.loss | ~batch.scored).all()
    assert not batch.targets[~batch.loss].any()


@pytest.mark.parametrize("name", [name for name in SMALL if name != "listops"])
def test_targets_are_known_from_what_came_before(name):
    """Rows that agree up to a scored position agree on its target: many short rows, so that some do agree.

    An expression of ListOps rarely comes twice; its value is checked below.
    """
    few = {"mqar": {"length": 8, "spacing": 8, "ids": 4}, "copying": {"length": 1, "shortest": 0, "letters": 2}}
    few |= {
        "selective_copying": {"length": 4, "tokens": 1, "letters": 2},
        "induction_heads": {"length": 4, "letters": 2},
    }
    few |= {"joint_recall": {"length": 1, "keys": 1, "most_contexts": 4, "most_keys": 1, "values": 2}}
    few |= {name: {"length": 4, "shortest": 3} for name in ("parity", "cyclic", "s3")}
    few |= {"s5": {"length": 3, "shortest": 0, "group": "S3"}}
    task = create_task(name, few[name])
    batch = task.draw_at(3000, task.length, generator())
    known: dict[tuple[int, ...], int] = {}
    repeated = 0
    for inputs, targets, scored in zip(*(batch[i].tolist() for i in (0, 1, 3)), strict=True):
        for place in [place for place, flag in enumerate(scored) if flag]:
            prefix = tuple(inputs[: place + 1])
            repeated += prefix in known
            assert known.setdefault(prefix, targets[place]) == targets[place]
    assert repeated > 500


def test_copying_asks_for_the_text_behind_the_marker():
    for inputs, targets, loss, _ in rows("copying"):
        marker = inputs.index(1)
        text = inputs[1:marker]
        assert inputs[0] == 0
        assert len(text) == 7
        assert min(text) >= 2
        assert inputs[marker + 1 :] == text[:-1]
        assert marked(targets, loss) == text
        assert loss == [place >= marker for place in range(len(inputs))]


def test_training_lengths_vary_between_the_shortest_and_the_length():
    task, source = create_task("copying", SMALL["copying"]), generator()
    drawn = {task.draw(2, source).inputs.shape[1] for _ in range(200)}
    assert drawn == {2 * length + 1 for length in range(3, 8)}


def test_selective_copying_asks_for_the_letters_in_order():
    gaps = set()
    for inputs, targets, loss, _ in rows("selective_copying"):
        front, back = inputs[:12], inputs[12:]
        letters = [token for token in front if token]
        assert back == [1] * 4
        assert len(letters) == 4
        assert min(letters) >= 2
        assert marked(targets, loss) == letters
        assert loss == [False] * 12 + [True] * 4
        gaps.add(tuple(place for place, token in enumerate(front) if token))
    assert len(gaps) > 30


def test_induction_asks_for_what_followed_the_mark():
    places = set()
    for inputs, targets, loss, _ in rows("induction_heads", count=200):
        first = inputs.index(0)
        assert inputs.count(0) == 2
        assert inputs[-1] == 0
        assert marked(targets, loss) == [inputs[first + 1]]
        assert loss == [False] * 9 + [True]
        assert inputs[first + 1] != 0
        places.add(first)
    assert places == set(range(8))


def test_mqar_asks_for_each_key_once_with_its_value():
    for inputs, targets, loss, _ in rows("mqar"):
        table = dict(zip(inputs[0:8:2], inputs[1:8:2], strict=True))
        asked = [place for place, flag in enumerate(loss) if flag]
        assert len(table) == 4
        assert max(table) < 32 <= min(table.values())
        assert sorted(inputs[place] for place in asked) == sorted(table)
        assert [targets[place] for place in asked] == [table[inputs[place]] for place in asked]
        assert all(place >= 8 and place % 2 == 0 for place in asked)


def test_mqar_queries_follow_a_power_law():
    """With one pair and power 1 the query is anywhere; with 0.01 it stands at i with a weight of i ** -0.99."""
    for power in (1.0, 0.01):
        task = create_task("mqar", {"length": 16, "spacing": 16, "ids": 8, "power": power})
        batch = task.draw_at(20_000, 16, generator())
        found = batch.loss[:, 2::2].double().mean(0)
        weights = [(i + 1) ** (power - 1) for i in range(7)]
        expected = torch.tensor([w / sum(weights) for w in weights], dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.015)


def test_joint_recall_asks_for_the_whole_table_again():
    orders = set()
    for inputs, targets, loss, _ in rows("joint_recall", length=3):
        half = inputs.index(0)
        tables, asked = [], []
        for start in (0, half + 1):
            table = {}
            for block in range(3):
                context, *pairs = inputs[start + 5 * block : start + 5 * block + 5]
                assert 1 <= context <= 16
                for key, answer in zip(pairs[::2], pairs[1::2], strict=True):
                    assert 17 <= key <= 32 < answer <= 48
                    table[context, key] = answer
                asked += [start + 5 * block + 1, start + 5 * block + 3] if start else []
            tables.append(table)
        assert tables[0] == tables[1]
        assert len(tables[0]) == 6
        assert len({key for _, key in tables[0]}) == 2
        assert [place for place, flag in enumerate(loss) if flag] == asked
        assert [targets[place] for place in asked] == [inputs[place + 1] for place in asked]
        orders.add(tuple(tables[0]) == tuple(tables[1]))
    assert False in orders  # the second half has an order of its own


@pytest.mark.parametrize(("name", "modulus"), [("parity", 2), ("cyclic", 7)])
def test_sums_modulo_a_number(name, modulus):
    for inputs, targets, loss, scored in rows(name):
        assert targets == [sum(inputs[: place + 1]) % modulus for place in range(len(inputs))]
        assert all(loss)
        assert scored == [False] * 7 + [True] * 2


@pytest.mark.parametrize(("name", "things"), [("s3", 3), ("s5", 5)])
def test_products_of_permutations(name, things):
    """Each element moves the things that stand in line: carried out on a list."""
    elements = list(itertools.permutations(range(things)))
    for inputs, targets, _, _ in rows(name, count=10):
        state = list(range(things))
        for token, target in zip(inputs, targets, strict=True):
            state = [elements[token][place] for place in state]
            assert elements[target] == tuple(state)


@pytest.mark.parametrize(
    ("group", "order", "commutes"),
    [("Z6", 6, True), ("S3", 6, False), ("A4", 12, False), ("S5", 120, False), ("A5", 60, False)],
)
def test_tables_are_groups(group, order, commutes):
    table = multiplication(group)
    everything = torch.arange(order)
    assert table.shape == (order, order)
    assert torch.equal(table[0], everything)
    assert torch.equal(table[:, 0], everything)
    assert torch.equal(table.sort(0).values, everything[:, None].expand(-1, order))
    assert torch.equal(table.sort(1).values, everything.expand(order, -1))
    a, b, c = torch.randint(order, (3, 500), generator=generator())
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert torch.equal(table, table.T) == commutes


def evaluate(words):
    """The value of an expression as text, by a stack."""
    stack: list[list] = [[]]
    for word in words:
        if word == "]":
            operator, *digits = stack.pop()
            result = {
                "MAX": lambda d: max(d),
                "MIN": lambda d: min(d),
                "MED": lambda d: int(statistics.median(d)),
                "SM": lambda d: sum(d) % 10,
            }[operator](digits)
            stack[-1].append(result)
        elif isinstance(word, str):
            stack.append([word])
        else:
            stack[-1].append(word)
    (result,) = stack[0]
    return result


def depth_of(words):
    depth = deepest = 0
    for word in words:
        depth += {"]": -1}.get(word, 1 if isinstance(word, str) else 0)
        deepest = max(deepest, depth + (0 if isinstance(word, str) else 1))
    return deepest


def test_listops_values_depth_and_length():
    depths, operators = set(), set()
    for inputs, targets, loss, _ in rows("listops", length=24, count=150, depth=4, arguments=4):
        assert loss == [False] * 24 + [True]
        assert inputs[-1] == 15
        written = [token for token in inputs[:-1] if token != 16]
        assert inputs == [16] * (24 - len(written)) + written + [15]
        assert 12 < len(written) <= 24
        words = [token if token < 10 else "]" if token == 14 else OPERATORS[token - 10] for token in written]
        assert marked(targets, loss) == [evaluate(words)]
        depths.add(depth_of(words))
        operators |= {word for word in words if isinstance(word, str)}
    assert max(depths) == 4
    assert operators == {"]", *OPERATORS}


def test_listops_operators_by_hand():
    tree = ("SM", (("MED", (1, 4, 8, 9)), ("MAX", (2, ("MIN", (7, 3)))), 9))
    assert value(tree) == (6 + 3 + 9) % 10
    assert tokens(tree) == [13, 12, 1, 4, 8, 9, 14, 10, 2, 11, 7, 3, 14, 14, 9, 14]
    assert value(("MED", (3, 4))) == 3
    assert value(("MED", (5, 1, 2))) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("parit", {}, r"Unknown task 'parit'. Did you mean 'parity'\?"),
        ("parity", {"lenght": 3}, r"Unknown field of task 'parity' 'lenght'. Did you mean 'length'\?"),
        ("parity", {"length": "x"}, "task 'parity': length must be int, not 'x'"),
        ("parity", {"length": 0}, "task 'parity': length must be at least 1, not 0"),
        ("copying", {"length": 4, "shortest": 9}, r"shortest must be between 1 and length \(4\), not 9"),
        ("copying", {"letters": 1}, "letters must be at least 2"),
        ("selective_copying", {"length": 4, "tokens": 5}, "tokens must be between 1 and the shortest length, not 5"),
        ("mqar", {"length": 15}, "length must be even, not 15$"),
        ("mqar", {"spacing": 3}, "spacing must be at least 4"),
        ("joint_recall", {"keys": 20}, "keys must not be above most_keys, 20 and 16"),
        ("joint_recall", {"length": 20}, "length must not be above most_contexts, 20 and 16"),
        ("s3", {"group": "S9"}, "group 'S9' is not known; give Z2 to Z999"),
        ("s3", {"group": "D4"}, "group 'D4' is not known"),
        ("listops", {"depth": 1}, "depth must be at least 2"),
    ],
)
def test_bad_options_are_one_line(name, options, message):
    with pytest.raises(UserError, match=message) as caught:
        create_task(name, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "length", "message"),
    [
        ("mqar", {"length": 16, "ids": 8}, 64, "64 positions need 8 keys; raise ids to 16"),
        ("joint_recall", {"length": 5}, 20, "a table of 20 contexts needs most_contexts of that many"),
        ("listops", {"depth": 2, "arguments": 2}, 64, "had none of 33 to 64 tokens; raise depth or arguments"),
    ],
)
def test_a_length_that_cannot_be_drawn_is_one_line(name, options, length, message):
    with pytest.raises(UserError, match=message) as caught:
        create_task(name, options).draw_at(2, length, generator())
    assert "\n" not in str(caught.value)
