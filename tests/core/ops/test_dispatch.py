"""The choice of path: argument, context manager, environment, then the call; and what is told about it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seqsuite.errors import UnknownNameError, UserError
from seqsuite.ops import causal_conv1d, explain_backend, operators, selective_scan, use_backend


def call(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [
        torch.ones(1, 2, 3, dtype=dtype),
        torch.ones(1, 2, 3, dtype=dtype),
        -torch.ones(3, 2, dtype=dtype),
        *torch.ones(2, 1, 2, 2, dtype=dtype),
    ]


def test_every_public_operator_is_listed_with_its_function() -> None:
    table = operators()
    assert table["selective_scan"].function is selective_scan
    assert table["causal_conv1d"].function is causal_conv1d


def test_the_nearer_wish_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain_backend(selective_scan, *call()).asked_by == "automatic"
    monkeypatch.setenv("SEQSUITE_BACKEND", "portable")
    assert explain_backend(selective_scan, *call()).asked_by == "environment variable SEQSUITE_BACKEND"
    with use_backend("reference"):
        inside = explain_backend(selective_scan, *call())
        assert (inside.backend, inside.asked_by) == ("reference", "use_backend")
        argument = explain_backend(selective_scan, *call(), backend="portable")
        assert (argument.backend, argument.asked_by) == ("portable", "backend argument")
    assert explain_backend("selective_scan", *call()).backend == "portable"


def test_the_wish_reaches_the_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [x.requires_grad_() for x in call()]
    with use_backend("reference"):
        by_formula = selective_scan(*leaves)
    registered = selective_scan(*leaves, backend="portable")
    assert "SelectiveScan" in type(registered.grad_fn).__name__
    assert "SelectiveScan" not in type(by_formula.grad_fn).__name__


def test_on_a_cpu_the_portable_path_is_chosen_and_triton_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    choice = explain_backend(selective_scan, *call())
    assert choice.backend == "portable"
    assert set(choice.rejected) == {"triton", "reference"}
    assert "CUDA" in choice.rejected["triton"] or "not installed" in choice.rejected["triton"]
    assert str(choice).startswith("selective_scan: portable (automatic)")
    with pytest.raises(UserError, match="backend 'triton' cannot serve this call"):
        selective_scan(*call(), backend="triton")


def test_unknown_names_suggest_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match="portable"):
        selective_scan(*call(), backend="portabel")
    with pytest.raises(UnknownNameError, match="reference"), use_backend("referense"):
        pass
    with pytest.raises(UnknownNameError, match="selective_scan"):
        explain_backend("selectiv_scan")


@pytest.mark.parametrize("name", ["", None, 3])
def test_what_is_no_name_is_no_path(name: object) -> None:
    with pytest.raises(UnknownNameError, match=rf"^Unknown backend '{name}'. Known: portable, reference, triton.$"):
        use_backend(name).__enter__()  # type: ignore[arg-type]
    if name is not None:  # None asks for nothing
        with pytest.raises(UnknownNameError, match=rf"^Unknown backend '{name}'."):
            selective_scan(*call(), backend=name)  # type: ignore[arg-type]


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSUITE_BACKEND", "portabel")
    with pytest.raises(
        UnknownNameError, match=r"^Unknown value of SEQSUITE_BACKEND 'portabel'. Did you mean 'portable'"
    ):
        selective_scan(*call())


def test_importing_the_operators_loads_neither_torch_nor_triton() -> None:
    program = "import sys, seqsuite.ops; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_path_imported_first_does_not_hide_the_function() -> None:
    program = (
        "import seqsuite.ops._selective_scan.portable, sys\n"
        "from seqsuite.ops import selective_scan\n"
        "sys.exit(not callable(selective_scan) or 'triton' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
