"""Training on the tasks: deterministic, checked before it starts, gone on with, and shown as a table."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch

from seqsuite.bench import table as table_module
from seqsuite.bench.presets import PRESETS, Training, training_for
from seqsuite.bench.table import TaskTable, run_tasks
from seqsuite.bench.tasks import TASKS, create_task
from seqsuite.bench.train import Cell, Row, accuracy, build, row_of, stream, train_cell
from seqsuite.cli.frame import run
from seqsuite.errors import UserError
from seqsuite.plugin import plugin

TINY = {"d_model": 8, "steps": 3, "batch_size": 4, "test_rows": 8}


def cells_of(result: TaskTable) -> list[Cell]:
    return [dataclasses.replace(cell, seconds=0.0) for cell in result.cells]


def test_a_cell_is_a_function_of_its_settings_and_its_seed():
    task, row, training = create_task("parity", {"length": 6}), Row("mamba", "mamba", {}), Training(**TINY)
    state = torch.random.get_rng_state()
    first, again, other = (train_cell(task, row, training, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert dataclasses.replace(again, seconds=first.seconds) == first
    assert other.loss != first.loss
    assert set(first.accuracy) == {1, 2, 4}


def test_all_mixers_see_the_same_rows_and_tests_have_their_own():
    drawn = [stream("parity", 0, "train").initial_seed() for _ in range(2)]
    others = {stream("parity", *keys).initial_seed() for keys in ((1, "train"), (0, "test", 1), (0, "test", 2))}
    assert drawn[0] == drawn[1]
    assert len(others | set(drawn)) == 4


def test_training_learns_what_can_be_learnt():
    """One of three letters among blanks, asked for at the end: learnt in seconds, and at twice the length too."""
    task = create_task("selective_copying", {"length": 4, "tokens": 1, "letters": 3})
    training = Training(d_model=16, n_layer=1, steps=80, batch_size=32, lr=2e-2)
    cell = train_cell(task, Row("mamba", "mamba", {}), training, 0)
    assert cell.accuracy[1] > 0.95
    assert cell.accuracy[2] > 0.9
    assert cell.accuracy[4] > cell.chance + 0.1
    assert cell.loss is not None
    assert cell.loss < 0.1


def test_accuracy_is_the_share_of_scored_positions():
    """A model that always says 0 is right where the target is 0, among the scored positions only."""
    task = create_task("parity", {"length": 8})
    model = build(task, Row("mamba", "mamba", {}), Training(**TINY), 0)

    class Zero(torch.nn.Module):
        def forward(self, inputs):
            return torch.nn.functional.one_hot(torch.zeros_like(inputs), 2).float()

    found = accuracy(Zero(), task, 8, 100, stream("a"))  # type: ignore[arg-type]
    source, right, total = stream("a"), 0, 0
    for rows in (64, 36):
        batch = task.draw_at(rows, 8, source)
        right += int((batch.targets == 0)[:, 6:].sum())
        total += rows * 2
    assert found == right / total
    assert 0 <= accuracy(model, task, 8, 100, stream("a")) <= 1


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_in_the_debug_preset(name):
    training = training_for("debug", name, {"steps": 2}, {})
    cell = train_cell(create_task(name, training.task), Row("mamba", "mamba", {}), training, 0)
    assert all(0 <= share <= 1 for share in cell.accuracy.values())
    assert cell.loss is not None


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_at_the_sizes_of_the_small_preset(name):
    """The task as the preset has it, with a model of one narrow block and few rows."""
    training = training_for("small", name, {**TINY, "n_layer": 1, "steps": 4, "test_rows": 2}, {})
    task = create_task(name, training.task)
    cell = train_cell(task, Row("gru", "gru", {}), training, 0)
    assert set(cell.accuracy) == {1, 2, 4}
    assert cell.loss is not None
    assert 0 < cell.loss < 2 * torch.tensor(float(task.vocab_size)).log() + 1


def test_every_preset_fits_every_task():
    for preset in PRESETS:
        for name in TASKS:
            create_task(name, training_for(preset, name, {}, {}).task)


def test_options_of_a_row():
    options = {"mamba": {"d_state": 4}, "hyena": {"l_max": 64}, "big": {"d_state": 32, "expand": 1}}
    assert row_of("mamba", options) == Row("mamba", "mamba", {"d_state": 4})
    assert row_of("big=mamba", options) == Row("big", "mamba", {"d_state": 32, "expand": 1.0})
    hybrid = {"mamba": {"d_state": 4}, "hyena": {"l_max": 64}}
    assert row_of("mamba*2 ,hyena", options) == Row("mamba*2, hyena", "mamba*2, hyena", hybrid)
    changed = row_of("h=mamba,hyena", {**options, "h": {"mamba": {"expand": "3"}}})
    assert changed == Row("h", "mamba, hyena", {"mamba": {"d_state": 4, "expand": 3.0}, "hyena": {"l_max": 64}})


def test_a_run_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    given = {"seeds": 2, "training": TINY, "task_options": {"parity": {"length": 6}, "copying": {"length": 8}}}
    straight = run_tasks(["parity", "copying"], ["mamba"], **given)
    trained: list[tuple] = []

    def count(task, row, training, seed):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append((task.name, seed))
        return train_cell(task, row, training, seed)

    monkeypatch.setattr(table_module, "train_cell", count)
    with pytest.raises(KeyboardInterrupt):
        run_tasks(["parity", "copying"], ["mamba"], out=tmp_path, **given)
    assert trained == [("parity", 0), ("parity", 1)]
    trained[:] = [("", 0)]
    with pytest.raises(KeyboardInterrupt):
        run_tasks(["parity", "copying"], ["mamba"], out=tmp_path, **given)
    assert trained[1:] == [("copying", 0)]
    trained.clear()
    resumed = run_tasks(["parity", "copying"], ["mamba"], out=tmp_path, **given)
    assert trained == [("copying", 1)]
    assert cells_of(resumed) == cells_of(straight)
    assert resumed.table() == straight.table()
    assert len(list(tmp_path.iterdir())) == 4


def test_other_settings_are_refused_and_overwritten_on_request(tmp_path):
    run_tasks(["parity"], ["mamba"], training=TINY, out=tmp_path)
    with pytest.raises(UserError, match=r"parity__mamba__seed0\.json: .*\(training\.steps 3, now 4\).*--overwrite"):
        run_tasks(["parity"], ["mamba"], training={**TINY, "steps": 4}, out=tmp_path)
    with pytest.raises(UserError, match=r"row\.options\.d_state None, now 4"):
        run_tasks(["parity"], ["mamba"], training=TINY, mixer_options={"mamba": {"d_state": 4}}, out=tmp_path)
    again = run_tasks(["parity"], ["mamba"], training={**TINY, "steps": 4}, out=tmp_path, overwrite=True)
    assert cells_of(run_tasks(["parity"], ["mamba"], training={**TINY, "steps": 4}, out=tmp_path)) == cells_of(again)


@pytest.mark.parametrize("content", ["{", "[]", '{"cell": {}, "settings": {}}', '{"cell": {"accuracy": {"x": 1}}}'])
def test_a_damaged_result_is_named(tmp_path, content):
    (tmp_path / "parity__mamba__seed0.json").write_text(content)
    with pytest.raises(UserError, match=r"parity__mamba__seed0\.json: is no result of bench tasks") as caught:
        run_tasks(["parity"], ["mamba"], training=TINY, out=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tasks", "mixers", "options", "message"),
    [
        (["parity", "nosuch"], ["mamba"], {}, "Unknown task 'nosuch'"),
        (["parity"], ["mamba", "mambo"], {}, r"Unknown mixer 'mambo'. Did you mean 'mamba'"),
        (["parity"], ["mamba", "mamba"], {}, "--mixers: 'mamba' is named twice; give one of them another label"),
        (["parity", "parity"], ["mamba"], {}, "--tasks: 'parity' is named twice"),
        ([], ["mamba"], {}, "--tasks: nothing is named"),
        (["parity"], ["=mamba"], {}, "'=mamba' is no mixer"),
        (["parity"], ["mamba"], {"preset": "smal"}, r"Unknown preset 'smal'. Did you mean 'small'\?"),
        (["parity"], ["mamba"], {"training": {"steps": 0}}, "steps must be at least 1"),
        (["parity"], ["mamba"], {"seeds": 0}, "--seeds is 0"),
        (["parity"], ["mamba"], {"mixer_options": {"mamb": {}}}, r"--mixer_options.mamb: .*Did you mean 'mamba'\?"),
        (["parity"], ["mamba"], {"mixer_options": {"mamba": 3}}, "--mixer_options.mamba is 3; name an option"),
        (["parity"], ["mamba"], {"task_options": {"s3": {}}}, "--task_options.s3: nothing of that name is run"),
        (["parity"], ["mamba"], {"mixer_options": {"mamba": {"dstate": 3}}}, "option of mixer 'mamba' 'dstate'"),
        (["parity"], ["mamba", "hyena"], {"mixer_options": {"hyena": {"l_max": 16}}}, "l_max"),
        (["mqar"], ["mamba"], {"task_options": {"mqar": {"length": 64, "ids": 16}}}, "raise ids to"),
    ],
)
def test_nothing_is_trained_before_everything_is_checked(tasks, mixers, options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "train_cell", lambda *_: pytest.fail("trained"))
    with pytest.raises(UserError, match=message) as caught:
        run_tasks(tasks, mixers, out=tmp_path / "out", **options)
    assert "\n" not in str(caught.value)


def test_a_mixer_that_sees_what_follows_is_refused():
    with pytest.raises(UserError, match="mixer 'lion' is not causal: it would read the answers"):
        run_tasks(["parity"], ["lion"], training=TINY)


def test_the_table_shows_mean_and_extremes():
    def cell(label, seed, *shares):
        return Cell("parity", label, seed, dict(zip((1, 2, 4), shares, strict=True)), 0.5, 0.1, 10, 1.0)

    cells = [cell("a", 0, 1.0, 0.9, 0.5), cell("a", 1, 0.5, 0.7, 0.5), cell("b", 0, 0.25, 0.5, 0.75)]
    result = TaskTable(cells, {"parity": {"task": {"length": 40}}})
    assert result.table() == [
        {"task": "parity", "length": 40, "x": 1, "chance": "0.50", "a": "0.75 (0.50..1.00)", "b": "0.25"},
        {"task": "parity", "length": 80, "x": 2, "chance": "0.50", "a": "0.80 (0.70..0.90)", "b": "0.50"},
        {"task": "parity", "length": 160, "x": 4, "chance": "0.50", "a": "0.50 (0.50..0.50)", "b": "0.75"},
    ]
    assert len(result.figure().axes) == 1
    assert "<table>" in result._repr_html_()


@pytest.fixture
def program():
    return dataclasses.replace(plugin, commands={"bench tasks": "seqsuite.cli.bench_tasks:tasks"})


def test_the_command_prints_a_table_and_json(program, capsys, tmp_path):
    words = ["bench", "tasks", "--tasks", "parity,s3", "--mixers", "mamba, 'mamba, hyena', m4=mamba", "--seeds", "2"]
    words += ["--steps", "2", "--d-model", "8", "--mixer_options.m4.d_state", "4", "--task_options.s3.length", "6"]
    assert run(program, [*words, "--out", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 12
    assert told.out.splitlines()[1].split("  ")[0] == "task"
    assert all(name in told.out for name in ("mamba, hyena", "m4", "..", "s3"))
    assert run(program, [*words, "--out", str(tmp_path), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["cells"]) == 12
    assert value["settings"]["s3"]["task"]["length"] == 6
    assert value["settings"]["parity"]["steps"] == 2
    assert {row["task"] for row in value["table"]} == {"parity", "s3"}
    (m4,) = {cell["parameters"] for cell in value["cells"] if (cell["label"], cell["task"]) == ("m4", "parity")}
    (m16,) = {cell["parameters"] for cell in value["cells"] if (cell["label"], cell["task"]) == ("mamba", "parity")}
    assert m4 < m16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", "parit"], "Unknown task 'parit'. Did you mean 'parity'?"),
        (["--mixers", "mamba*0"], "'mamba*0' is no part of a pattern"),
        (["--lr", "0"], "lr must be above 0"),
        (["--lr", "x"], "--lr: expected float, got 'x'."),
        (["--tasks", ""], "--tasks: expected a list, as in 'a,b', got ''."),
        (["--step", "4"], "unknown flag '--step'. Did you mean '--steps'"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(program, capsys, words, said):
    assert run(program, ["bench", "tasks", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_names_and_presets_need_no_torch():
    script = (
        "import sys, seqsuite.bench.tasks, seqsuite.bench.presets, seqsuite.cli.bench_tasks\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
