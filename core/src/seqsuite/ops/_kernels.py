"""Triton kernels compiled for a GPU on a machine without one: registers and spills of each.

An operator's triton.py ends with `EXAMPLES`, its kernels with the constants of a call of usual size.
`resources()` compiles them for sm_90 and reads what the assembler says of each. Nothing here runs a kernel.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class KernelExample:
    """A kernel with the constants of one use.

    Attributes:
        kernel: Its name in the operator's triton.py.
        constants: Values of its constexpr parameters.
        warps: Warps of a program.
        registers: The most registers of a thread that it may take.
        types: Types that differ from the rule: pointers, by their name without "_ptr", are bf16 and numbers are i32.
        label: What tells it from another example of the same kernel.
    """

    kernel: str
    constants: Mapping[str, Any]
    warps: int
    registers: int = 255
    types: Mapping[str, str] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True)
class KernelResources:
    """What the assembler says of a compiled kernel.

    Attributes:
        operator: The operator's folder without its underscore.
        example: What was compiled.
        registers: Registers of a thread.
        spilled: Bytes stored to and loaded from local memory because registers ran out.
        shared: Bytes of shared memory of a program.
    """

    operator: str
    example: KernelExample
    registers: int
    spilled: int
    shared: int


def examples() -> Iterator[tuple[str, KernelExample]]:
    """Yield (operator, example) of every operator with Triton kernels. Needs Triton."""
    from seqsuite.ops._dispatch import _FOLDERS

    for folder in _FOLDERS:
        if find_spec(f"seqsuite.ops.{folder}.triton") is None:
            continue
        for example in import_module(f"seqsuite.ops.{folder}.triton").EXAMPLES:
            yield folder.removeprefix("_"), example


def resources(operator: str, example: KernelExample, *, capability: int = 90) -> KernelResources:
    """Compile a kernel for an NVIDIA GPU and assemble it; no GPU is needed.

    Args:
        operator: The operator's folder without its underscore.
        example: The kernel and its constants.
        capability: The GPU's compute capability, times ten.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(import_module(f"seqsuite.ops._{operator}.triton"), example.kernel)
    signature, attributes = {}, {}
    for index, parameter in enumerate(kernel.params):
        name, pointer = parameter.name, parameter.name.endswith("_ptr")
        if name in example.constants:
            signature[name] = "constexpr"
        elif pointer:
            signature[name] = "*" + example.types.get(name.removesuffix("_ptr"), "bf16")
            attributes[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = example.types.get(name, "i32")
    source = ASTSource(kernel, signature, constexprs=dict(example.constants), attrs=attributes)
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": example.warps})
    report = _assemble(compiled.asm["ptx"], capability)
    spilled = sum(int(count) for count in re.findall(r"(\d+) bytes spill", report))
    registers = re.search(r"Used (\d+) registers", report)
    assert registers is not None, report
    return KernelResources(operator, example, int(registers[1]), spilled, compiled.metadata.shared)


def _assemble(ptx: str, capability: int) -> str:
    """Return what ptxas, which comes with Triton, says of a program."""
    import triton

    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        into = str(Path(folder, "kernel.cubin"))
        command = [str(assembler), "-v", f"--gpu-name=sm_{capability}a", str(source), "-o", into]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr
