"""One way to collect a small data set, for all tests of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqrl.collection import CollectionResult, collect
from seqrl.configs.collect import CollectConfig
from seqrl.data import Episodes, open_episodes

Collect = Callable[..., tuple[CollectionResult, Episodes]]


@pytest.fixture
def small(tmp_path: Path) -> Collect:
    """Collect with few reference episodes into a folder of a name, and read what was written."""

    def run(env: str, name: str = "data", tell: Callable[[str], None] = lambda _: None, **options: Any) -> Any:
        config = CollectConfig(env, **{"out": str(tmp_path / name), "reference_episodes": 2, **options})
        result = collect(config, tell=tell)
        return result, open_episodes(tmp_path / name)

    return run
