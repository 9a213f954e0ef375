"""The Triton kernels without a GPU: their numbers in the interpreter, their compilation for sm_90 offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

CASES = [
    "scan, everything",
    "scan, everything, deterministic",
    "scan, grouped reverse packed",
    "scan, constant padded",
    "scan, constant B reverse padded",
    "scan, bare",
    "conv, everything",
    "conv, reverse packed",
    "conv, padded",
    "conv, short",
]
SCAN = {"WIDTH": 2048, "GROUPS": 1, "N": 16, "BN": 16, "BD": 16, "REVERSE": False, "SOFTPLUS": True}
SCAN |= {"HAS_D": True, "HAS_Z": True, "HAS_BIAS": True, "HAS_RESET": True, "CONST_B": False, "CONST_C": False}
CONV = {"WIDTH": 2048, "TAPS": 4, "BT": 16, "BD": 64, "SILU": True, "REVERSE": False}
CONV |= {"HAS_BIAS": True, "HAS_HISTORY": True, "HAS_SEGMENT": True}
FLOAT32 = "A D bias h0 final starts dfinal dA dB dC dD dbias dh0 g dweight weight".split()


@pytest.fixture(scope="module")
def distances() -> dict[str, dict[str, float]]:
    program = Path(__file__).parent / "interpreted" / "cases.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_interpreted_kernels_agree_with_the_float64_reference(
    distances: dict[str, dict[str, float]], case: str
) -> None:
    assert {name: value for name, value in distances[case].items() if not value <= 1e-5} == {}


def test_every_interpreted_case_is_checked(distances: dict[str, dict[str, float]]) -> None:
    assert sorted(distances) == sorted(CASES)


@pytest.mark.parametrize(
    ("operator", "kernel", "constants", "warps", "registers"),
    [
        ("_selective_scan", "forward_kernel", {**SCAN, "Q": 4, "HAS_H0": True}, 1, 96),
        ("_selective_scan", "backward_kernel", {**SCAN, "Q": 4, "ATOMIC": True}, 2, 255),
        ("_causal_conv1d", "forward_kernel", CONV, 4, 128),
        ("_causal_conv1d", "backward_kernel", CONV, 4, 128),
    ],
)
def test_kernels_compile_for_sm90_without_spills(
    operator: str, kernel: str, constants: dict[str, Any], warps: int, registers: int, tmp_path: Path
) -> None:
    from importlib import import_module

    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(import_module(f"seqsuite.ops.{operator}.triton"), kernel)
    signature, attributes = {}, {}
    for index, parameter in enumerate(function.params):
        name = parameter.name
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("_ptr"):
            kind = {"reset_ptr": "*i8", "segment_ptr": "*i64"}.get(name)
            signature[name] = kind or ("*fp32" if name.removesuffix("_ptr") in FLOAT32 else "*bf16")
            attributes[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "i32"
    source = ASTSource(function, signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    (tmp_path / "kernel.ptx").write_text(compiled.asm["ptx"])
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    report = subprocess.run(
        [assembler, "-v", "--gpu-name=sm_90a", tmp_path / "kernel.ptx", "-o", tmp_path / "kernel.cubin"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert " 0 bytes spill stores, 0 bytes spill loads" in report
    used = int(report.split("Used ")[1].split()[0])
    assert used <= registers
