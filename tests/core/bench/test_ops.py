"""The benchmark of operators: it runs at tiny sizes, refuses a contender that computes something else, and counts."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from seqsuite.bench.measure import Contender, measure, slope
from seqsuite.bench.memory import peak
from seqsuite.bench.ops import OPERATORS, bench_of, bench_ops
from seqsuite.cli.bench_ops import BenchOpsConfig, ops
from seqsuite.errors import UserError
from seqsuite.ops import operators


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_contender_runs_and_agrees_at_a_tiny_size(operator):
    result = bench_ops([operator], level="tiny")
    passes = {(row.contender, row.passes) for row in result.rows}
    shape = bench_of(operator).shapes["tiny"][0]
    for backward, name in ((False, "forward"), (True, "forward + backward")):
        assert {c for c, p in passes if p == name} == set(bench_of(operator).served(shape, backward))
    assert all(row.ms > 0 for row in result.rows)
    assert all(row.ratio == 1 for row in result.rows if row.contender == "seqsuite")


def test_every_operator_is_measured():
    assert set(operators()) <= set(OPERATORS)


def test_a_contender_that_computes_something_else_is_refused():
    bench = bench_of("causal_conv1d")
    wrong = Contender(lambda o: bench.contenders["reference"].run(o) * 1.01)
    bench = dataclasses.replace(bench, contenders={**bench.contenders, "wrong": wrong})
    with pytest.raises(AssertionError, match=r"causal_conv1d, wrong: off by 0\.01"):
        measure(bench, (1, 16, 8, 4), False, 0.0, dtype=torch.float32)


def test_slope_is_the_exponent():
    assert slope([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


def test_memory_is_that_of_the_run():
    """Output, its gradient and that of the input are 16 MB each; a fresh process's modules would be hundreds."""
    assert 32 < peak("causal_conv1d", "F.conv1d, channel-first", (1, 65536, 64, 4), True) < 200


def test_command_writes_json(tmp_path, capsys):
    out = tmp_path / "ops.json"
    assert ops(BenchOpsConfig(ops="causal_conv1d", level="tiny", out=str(out))) == 0
    written = json.loads(out.read_text())
    assert {row["operator"] for row in written["rows"]} == {"causal_conv1d"}
    assert "torch" in written["machine"]["versions"]
    assert "F.conv1d, channel-last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ops": "selective_skan"}, "Did you mean 'selective_scan'"),
        ({"dtype": "float8"}, "--dtype float8: choose float32, bfloat16 or float16"),
        ({"device": "tpu"}, "--device tpu: choose cpu or cuda"),
        ({"ops": "causal_conv1d", "level": "tiny", "out": "/no/such/folder/x.json"}, "there is no folder"),
    ],
)
def test_what_the_user_can_mend_is_one_line(options, message):
    with pytest.raises(UserError, match=message) as told:
        ops(BenchOpsConfig(**options))
    assert "\n" not in str(told.value)


def test_kernels_are_listed_with_their_registers(capsys):
    pytest.importorskip("triton")
    assert ops(BenchOpsConfig(ops="causal_conv1d", kernels=True, json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["kernel"] for row in found["kernels"]} == {"forward_kernel", "backward_kernel"}
    assert all(0 < row["registers"] <= 255 and row["spilled_bytes"] == 0 for row in found["kernels"])
