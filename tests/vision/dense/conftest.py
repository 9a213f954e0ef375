"""The plugin's rows of this area."""

from __future__ import annotations

import pytest

from seqvision.configs.dense import SIZES


@pytest.fixture(autouse=True)
def announced(monkeypatch) -> None:
    """Let the plugin list this area's models, whatever else it lists."""
    from seqvision.plugin import plugin

    for name in SIZES:
        monkeypatch.setitem(plugin.models, name, f"seqvision.configs.dense:{name}")
