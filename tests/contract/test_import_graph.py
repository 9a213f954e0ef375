"""The walls of the design: who may import whom, and what stays free of torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "seqsuite": ROOT / "core/src/seqsuite",
    "seqdna": ROOT / "plugins/genomics/src/seqdna",
    "seqaudio": ROOT / "plugins/audio/src/seqaudio",
    "seqvision": ROOT / "plugins/vision/src/seqvision",
    "seqrl": ROOT / "plugins/rl/src/seqrl",
    "seqchem": ROOT / "plugins/chem/src/seqchem",
}
# Importing this package enters the models into timm's registry; timm knows no other way.
LOADING = (PACKAGES["seqvision"] / "models/__init__.py",)
PLUGINS = set(PACKAGES) - {"seqsuite"}


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def imports(path: Path) -> set[str]:
    """All modules that a file imports anywhere, functions included; `TYPE_CHECKING` blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_plugin_is_imported_from_elsewhere(package: str) -> None:
    for path in modules(package):
        strangers = tops(imports(path)) & (PLUGINS - {package})
        assert not strangers, f"{path} imports {strangers}"


LAYERS = {
    "ops": {"ops", "errors", "lazy"},
    "mixers": {"ops", "mixers", "errors", "lazy", "plugins"},
    "backbones": {"ops", "mixers", "backbones", "errors", "lazy"},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_the_core_import_downwards_only(layer: str) -> None:
    for path in sorted((PACKAGES["seqsuite"] / layer).rglob("*.py")):
        inside = {name.split(".")[1] for name in imports(path) if name.startswith("seqsuite.")}
        assert inside <= LAYERS[layer], f"{path} imports seqsuite.{inside - LAYERS[layer]}"


def test_operators_need_torch_and_triton_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"torch", "triton", "seqsuite"}
    for path in sorted((PACKAGES["seqsuite"] / "ops").rglob("*.py")):
        assert tops(imports(path)) <= allowed, f"{path} imports {tops(imports(path)) - allowed}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_front_of_each_package_loads_no_torch(package: str) -> None:
    root = PACKAGES[package]
    front = [
        path
        for path in modules(package)
        if path.name in ("plugin.py", "configs.py") or {"cli", "configs"} & set(path.relative_to(root).parts)
    ]
    front += [path for path in modules(package) if path.name == "__init__.py" and path not in (*front, *LOADING)]
    names = [".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__") for path in front]
    script = (
        f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        "heavy = sorted({'torch', 'lightning', 'timm', 'triton'} & set(sys.modules))\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
