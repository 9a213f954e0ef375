"""`seqsuite bench ops`: the table of operators (torch-free until it runs)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class BenchOpsConfig:
    """Options of `seqsuite bench ops`.

    Args:
        ops: Operators, with commas between them; all by default. "ssd" takes all its variants, "ssd:vector" one.
        level: Shapes: tiny (does it run), quick (a few minutes) or full (with peak memory and growth in L).
        device: Where: cpu or cuda.
        dtype: Of the operands: float32, bfloat16 or float16.
        kernels: Compile the operators' Triton kernels for sm_90 instead, and list registers and spills; needs no GPU.
        json: Print JSON instead of tables.
        out: Write the JSON, with machine and versions, to this file.
        overwrite: Replace that file if it is there.
    """

    ops: str = ""
    level: Literal["tiny", "quick", "full"] = "quick"
    device: str = "cpu"
    dtype: str = "float32"
    kernels: bool = False
    json: bool = False
    out: str = ""
    overwrite: bool = False


def ops(config: BenchOpsConfig) -> int:
    """Time every operator beside its peers, in one process, interleaved."""
    import sys

    from seqsuite.cli.output import print_json

    _room_for(config.out, config.overwrite)
    names = [name.strip() for name in config.ops.split(",") if name.strip()]
    result = _kernels(names) if config.kernels else _times(config, names, lambda line: print(line, file=sys.stderr))
    if config.out:
        _write(config.out, result)
    if config.json:
        print_json(result)
    elif config.kernels:
        _show_kernels(result)
    else:
        _show_times(result)
    return 0


def _times(config: BenchOpsConfig, names: list[str], tell: Any) -> dict[str, Any]:
    from seqsuite.bench.ops import bench_ops

    return bench_ops(names, level=config.level, device=config.device, dtype=config.dtype, tell=tell).as_json()


def _kernels(names: list[str]) -> dict[str, Any]:
    from seqsuite.errors import UserError, unknown_name
    from seqsuite.ops import operators
    from seqsuite.ops._dispatch import triton_installed

    if not triton_installed():
        raise UserError("--kernels: Triton is not installed; it has wheels for Linux on x86-64.")
    from seqsuite.ops._kernels import examples, resources

    for name in names:
        if name not in operators():
            raise unknown_name("operator", name, operators())
    rows = []
    for operator, example in examples():
        if names and operator not in names:
            continue
        found = resources(operator, example)
        kernel = f"{example.kernel} {example.label}".strip()
        used = {"registers": found.registers, "spilled_bytes": found.spilled, "shared_bytes": found.shared}
        rows.append({"operator": operator, "kernel": kernel, "warps": example.warps, **used})
    return {"target": "sm_90", "kernels": rows}


def _room_for(path: str, overwrite: bool) -> None:
    """Raise a one-line error unless the JSON can be written there, before anything is measured."""
    from pathlib import Path

    from seqsuite.errors import UserError

    if path and not Path(path).expanduser().parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {Path(path).parent}; make it first.")
    if path and Path(path).expanduser().is_dir():
        raise UserError(f"--out {path}: that is a folder; name a file in it.")
    if path and Path(path).expanduser().exists() and not overwrite:
        raise UserError(f"--out {path}: that file is there; add --overwrite or choose another name.")


def _write(path: str, result: dict[str, Any]) -> None:
    from pathlib import Path

    from seqsuite.training.run_folder import environment, write_json

    write_json(Path(path).expanduser(), {"machine": environment(), **result})


def _show_times(result: dict[str, Any]) -> None:
    from seqsuite.cli.output import print_table

    def cell(value: float | None, form: str = ".3g") -> str:
        return "" if value is None else format(value, form)

    def verdict(row: dict[str, Any]) -> str:
        return "lost" if row["lost"] else ""

    rows = [
        (
            r["bench"], r["contender"], r["shape"], r["passes"], cell(r["ms"], ".4g"),
            cell(r["gbs"]), cell(r["gflops"]), cell(r["ratio"], ".2f"), verdict(r),
        )
        for r in result["rows"]
    ]  # fmt: skip
    heads = ("operator", "contender", "shape", "pass", "ms", "GB/s", "GFLOP/s", "time over ours", "")
    print_table(heads, rows, title=f"Operators on {result['device']}, {result['dtype']}")
    if result["memory"]:
        cells = [
            (r["bench"], r["contender"], r["shape"], f"{r['mb']:.0f}", f"{r['ratio']:.2f}", verdict(r))
            for r in result["memory"]
        ]
        print_table(
            ("operator", "contender", "shape", "MB", "over ours", ""), cells, title="\nPeak memory, both passes"
        )
    if result["growth"]:
        slopes = [(r["bench"], f"{r['time_slope']:.2f}", f"{r['memory_slope']:.2f}") for r in result["growth"]]
        print_table(("operator", "time", "memory"), slopes, title="\nSlope in L on log-log")
    if result["missing"]:
        print(f"\nnot installed, left out: {', '.join(result['missing'])} (make bench installs the peers)")


def _show_kernels(result: dict[str, Any]) -> None:
    from seqsuite.cli.output import print_table

    heads = ("operator", "kernel", "warps", "registers", "spilled bytes", "shared bytes")
    rows = [tuple(row.values()) for row in result["kernels"]]
    print_table(heads, rows, title=f"Triton kernels compiled for {result['target']}; none was run")
