"""`seqrl fetch`."""

from __future__ import annotations

from seqrl.configs.fetch import FetchConfig


def fetch(config: FetchConfig) -> int:
    """Fetch a public data set: D4RL's by name, Minari's by id, others by address."""
    from seqrl.data.d4rl_table import D4RL_URLS
    from seqrl.data.fetching import fetch as get
    from seqsuite.cli.output import print_json, print_table
    from seqsuite.errors import unknown_name

    if config.list:
        part = "" if config.name == "all" else config.name
        found = {name: url for name, url in D4RL_URLS.items() if part in name}
        if not found:
            raise unknown_name("part of a data set's name", config.name, D4RL_URLS)
        if config.json:
            print_json(found)
        else:
            print_table(("data set", "address"), found.items())
        return 0
    path = get(config.name, url=config.url, cache=config.cache, sha256=config.sha256, force=config.force)
    print_json({"name": config.name, "path": str(path)}) if config.json else print(path)
    return 0
