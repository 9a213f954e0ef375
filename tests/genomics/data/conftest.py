"""A cache of its own for every test."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep token files under the test's folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEQSUITE_CACHE", str(folder))
    return folder
