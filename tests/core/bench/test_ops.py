"""The benchmark of operators: it runs at tiny sizes, refuses a contender that computes something else, and counts."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.util import find_spec

import pytest
import torch

from seqsuite.bench import ops as module
from seqsuite.bench.jax_peer import jax_contender
from seqsuite.bench.measure import Contender, check, measure, run_once, slope
from seqsuite.bench.memory import peak
from seqsuite.bench.ops import OPERATORS, PARTS, bench_of, bench_ops, benches_of, variants
from seqsuite.cli.bench_ops import BenchOpsConfig, ops
from seqsuite.errors import UserError
from seqsuite.ops import operators

BENCHES = [bench for operator in OPERATORS for bench in benches_of(operator)]
COMPLEX = {bench.name for bench in BENCHES if not bench.half}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_contender_runs_and_agrees_at_a_tiny_size(operator):
    result = bench_ops([operator], level="tiny")
    assert {row.bench for row in result.rows} == {bench.name for bench in benches_of(operator)} | {"copy"}
    for bench in benches_of(operator):
        for backward, name in ((False, "forward"), (True, "forward + backward")):
            found = {row.contender for row in result.rows if (row.bench, row.passes) == (bench.name, name)}
            assert found == set(bench.served(bench.shapes["tiny"][0], backward))
    assert all(row.ms > 0 for row in result.rows)
    assert all(row.ratio == 1 and not row.lost for row in result.rows if row.contender == "seqsuite")


def test_every_operator_is_measured():
    assert set(operators()) == set(OPERATORS) | set(PARTS)
    assert all(benches_of(name) for name in operators())
    assert [bench.name for bench in benches_of("cauchy")] == ["ssm_kernel:cauchy"]


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.name)
def test_every_bench_is_whole(bench):
    """Names lead back to it, ours comes first, the reference is there, the shapes are those of the axes."""
    assert bench_of(bench.name) is bench
    assert list(bench.contenders)[:2] == ["seqsuite", "reference"] or bench.name in ("selective_scan", "long_conv")
    assert "reference" in bench.contenders
    lists = [*bench.shapes.values(), bench.memory, bench.growth]
    assert {len(shape) for shapes in lists for shape in shapes} == {len(bench.axes.split())}
    assert set(bench.shapes) == {"tiny", "quick", "full"}
    assert bench.shapes["full"]
    assert bench.memory
    for shape in bench.shapes["full"]:
        assert bench.bytes(shape) > 0
        assert bench.flops(shape) > 0


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.name)
def test_operands_are_counted_byte_by_byte(bench):
    """The model of bytes counts no less than half and no more than all of operands and output, which it can see."""
    shape = bench.shapes["quick"][0]
    operands = bench.make(shape)
    ours = bench.contenders["seqsuite"]
    y = ours.finish(run_once(ours, ours.prepare(operands), False))
    tensors = [x for x in operands.values() if isinstance(x, torch.Tensor)] + [y]
    moved = sum(x.numel() * x.element_size() for x in tensors)
    assert moved / 2 <= bench.bytes(shape) <= 1.01 * moved


def test_a_variant_is_one_of_its_operator():
    assert [bench.name for bench in benches_of("ssd")] == ["ssd:scalar", "ssd:vector"]
    assert [bench.name for bench in benches_of("ssd:vector")] == ["ssd:vector"]
    assert set(variants("einfft")) == {""}
    with pytest.raises(ValueError, match="ssd has several benches: ssd:scalar, ssd:vector"):
        bench_of("ssd")


def test_half_precision_leaves_out_what_is_complex():
    told: list[str] = []
    result = bench_ops(["linear_scan", "long_conv"], level="tiny", dtype="bfloat16", tell=told.append)
    assert {row.bench for row in result.rows} == {"copy", "linear_scan:real", "long_conv"}
    assert "rfft by autograd" not in {row.contender for row in result.rows}
    for name in ("linear_scan:complex", "linear_scan:constant"):
        assert f"{name}: left out, it has complex operands and is measured with float32 only" in told


@pytest.mark.parametrize(
    ("factor", "message"), [(1.01, r"causal_conv1d, wrong: off by 0\.01"), (math.nan, "off by nan")]
)
def test_a_contender_that_computes_something_else_is_refused(factor, message):
    bench = bench_of("causal_conv1d")
    wrong = Contender(lambda o: bench.contenders["reference"].run(o) * factor)
    bench = dataclasses.replace(bench, contenders={**bench.contenders, "wrong": wrong})
    with pytest.raises(AssertionError, match=message):
        measure(bench, (1, 16, 8, 4), False, 0.0, dtype=torch.float32)


@pytest.mark.parametrize("name", ["long_conv", "attention:window", *sorted(COMPLEX)])
def test_the_truth_at_long_shapes_is_the_reference(name):
    """Where something else stands for the reference, both are the same function."""
    bench = bench_of(name)
    shape = bench.shapes["tiny"][0]
    operands = bench.make(shape)
    check(dataclasses.replace(bench, truth=None), shape, operands, {"seqsuite": operands, "reference": operands}, 1.0)
    check(bench, shape, operands, {"seqsuite": operands, "reference": operands}, 1.0)


def test_a_peer_that_wins_is_lost(monkeypatch, capsys):
    found = {"seqsuite": 2.0, "seqsuite, recompute": 1.0, "reference": 3.0, "rfft by autograd": 1.0}
    monkeypatch.setattr(module, "measure", lambda *_, **__: found)
    result = bench_ops(["long_conv"], level="tiny")
    assert {row.contender: row.lost for row in result.rows[1:]} == {name: name == "rfft by autograd" for name in found}
    assert {row.contender: row.ratio for row in result.rows[1:]} == {name: ms / 2 for name, ms in found.items()}
    assert ops(BenchOpsConfig(ops="long_conv", level="tiny")) == 0
    lost = [line for line in capsys.readouterr().out.splitlines() if line.rstrip().endswith("lost")]
    assert len(lost) == 2
    assert all("rfft by autograd" in line for line in lost)


def test_the_copy_reads_and_writes_once():
    row = bench_ops(["causal_conv1d"], level="tiny").rows[0]
    assert (row.bench, row.shape, row.ratio) == ("copy", "MB 1", None)
    assert row.gbs == pytest.approx(2 * 2**20 / (row.ms * 1e-3) / 1e9)


def test_slope_is_the_exponent():
    assert slope([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)


def test_memory_is_that_of_the_run():
    """Output, its gradient and that of the input are 16 MB each; a fresh process's modules would be hundreds."""
    assert 32 < peak("causal_conv1d", "F.conv1d, channel-first", (1, 65536, 64, 4), True) < 200


def test_memory_of_a_variant():
    """A row of (1, 16384, 4, 64) is 16 MB: the window's output and three gradients, far from 2 GB of dense weights."""
    assert 64 < peak("attention:window", "seqsuite", (1, 16384, 4, 64, 128), True) < 1024


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is a peer of `make bench` and not installed")
def test_gradients_of_jax_are_those_of_torch():
    for name, contender in (("linear_scan:complex", "jax lax.scan"), ("ssd:vector", "jax lax.scan")):
        bench = bench_of(name)
        operands = bench.make(bench.shapes["tiny"][0])
        jax = bench.contenders[contender]
        _, found = run_once(jax, jax.prepare(operands), True)
        expected = run_once(bench.contenders["reference"], operands, True)
        assert found.keys() == operands.keys()
        for operand, y in zip(operands, expected, strict=True):
            gradient = torch.from_numpy(found[operand].__array__().copy())
            # JAX's gradient of a real function of complex numbers is the conjugate of torch's.
            assert (gradient.conj() - y).norm() <= 1e-4 * y.norm()


def test_a_jax_contender_is_for_the_cpu_and_imports_nothing_by_itself():
    one = jax_contender(lambda o: o["x"])
    assert (one.needs, one.devices, one.compiles) == ("jax", ("cpu",), True)
    assert not bench_of("linear_scan:real").served((2, 19, 6), False, "cuda").keys() & {"jax lax.scan"}


def test_command_writes_json(tmp_path, capsys):
    out = tmp_path / "ops.json"
    assert ops(BenchOpsConfig(ops="causal_conv1d", level="tiny", out=str(out))) == 0
    written = json.loads(out.read_text())
    assert {row["bench"] for row in written["rows"]} == {"copy", "causal_conv1d"}
    assert written["level"] == "tiny"
    assert "torch" in written["machine"]["versions"]
    assert "F.conv1d, channel-last" in capsys.readouterr().out
    with pytest.raises(UserError, match="that file is there; add --overwrite"):
        ops(BenchOpsConfig(ops="causal_conv1d", level="tiny", out=str(out)))
    assert ops(BenchOpsConfig(ops="causal_conv1d", level="tiny", out=str(out), overwrite=True)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ops": "selective_skan"}, "Did you mean 'selective_scan'"),
        ({"ops": "ssd:vektor"}, "Unknown variant of ssd 'vektor'. Did you mean 'vector'"),
        ({"ops": "sds:vector"}, "Unknown operator 'sds'"),
        ({"ops": "einfft:fast"}, "Unknown variant of einfft 'fast'"),
        ({"dtype": "float8"}, "--dtype float8: choose float32, bfloat16 or float16"),
        ({"device": "tpu"}, "--device tpu: choose cpu or cuda"),
        ({"ops": "causal_conv1d", "level": "tiny", "out": "/no/such/folder/x.json"}, "there is no folder"),
        ({"ops": "causal_conv1d", "level": "tiny", "out": "."}, "that is a folder"),
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
