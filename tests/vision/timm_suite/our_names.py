"""pytest plugin for timm's own tests: registers our models and makes `timm.list_models` answer with the tiny ones.

timm's tests parametrise over `list_models(...)` while they are imported, hence a plugin (`-p our_names`): with
1371 names in the list the collection alone would take longer than our tests. Which models a test takes is
timm's choice still, with one addition: its list of modules that have `forward_intermediates` names timm's own
modules, so ours are put beside them.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import timm.models
import torch

import seqvision.models  # noqa: F401 - fills timm's registry

NAMES = ("test_mamba_nd", "test_simba", "test_simba_einfft")
MODULES = ("mamba_nd", "simba")
_every_name = timm.list_models


def our_models(*args: Any, module: Any = "", **options: Any) -> list[str]:
    """Return those of `NAMES` that timm's `list_models` returns."""
    if isinstance(module, list | tuple | set) and module:
        module = [*module, *MODULES]
    found = _every_name(*args, module=module, **options)
    return [name for name in found if name.split(".")[0] in NAMES]


timm.list_models = our_models
timm.models.list_models = our_models


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Draw the same weights and images in every run."""
    torch.manual_seed(0)
