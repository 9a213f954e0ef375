"""Fetching from a server on this machine: whole, interrupted and resumed, missing, wrong, unreachable."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from seqrl.data import fetch, open_episodes, write_minari
from seqrl.data.d4rl_table import D4RL_URLS
from seqrl.data.downloading import ResumingDownloader
from seqrl.scores import D4RL_DATASETS
from seqsuite.errors import UserError

CONTENT = np.random.default_rng(0).bytes(300_000)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; breaks after `server.breaks[i]` bytes of request i."""

    def do_GET(self) -> None:
        state: Any = self.server
        state.asked.append(self.headers.get("Range"))
        if self.path != "/a.hdf5":
            self.send_error(404)
            return
        start = 0
        same = self.headers.get("If-Range") == state.etag
        if self.headers.get("Range") and same and state.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(state.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = state.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if state.etag:
            self.send_header("ETag", state.etag)
        self.end_headers()
        broken = state.breaks.pop(0) if state.breaks else None
        self.wfile.write(body[:broken])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    served: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    served.content, served.etag, served.ranges, served.breaks, served.asked = CONTENT, '"one"', True, [], []
    served.address = f"http://127.0.0.1:{served.server_port}/a.hdf5"
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    import seqrl.data.downloading as downloading

    monkeypatch.setattr(downloading.time, "sleep", lambda _: None)


def test_fetched_once_then_kept(server, tmp_path):
    path = fetch("mine", url=server.address, cache=tmp_path, quiet=True)
    assert path == tmp_path / "mine.hdf5"
    assert path.read_bytes() == CONTENT
    assert fetch("mine", url=server.address, cache=tmp_path) == path
    assert len(server.asked) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.hdf5"]
    server.content = CONTENT[:1000]
    assert fetch("mine", url=server.address, cache=tmp_path, force=True).read_bytes() == CONTENT[:1000]


def test_broken_transfers_go_on(server, tmp_path):
    """Within one call, with the Range of what is missing."""
    server.breaks = [98_304, 49_152]
    path = fetch("mine", url=server.address, cache=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=98304-", "bytes=147456-"]


def test_the_next_call_goes_on(server, tmp_path):
    server.breaks = [100_000, 0, 0]  # a started chunk of 16,384 is lost
    with pytest.raises(UserError, match=r"broke after 98,304 bytes; run the same command again"):
        fetch("mine", url=server.address, cache=tmp_path)
    assert (tmp_path / "mine.hdf5.part").stat().st_size == 98_304
    assert not (tmp_path / "mine.hdf5").exists()
    server.breaks, server.asked = [], []
    assert fetch("mine", url=server.address, cache=tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=98304-"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.hdf5"]


@pytest.mark.parametrize("change", ["another file", "no ranges", "no validator", "shorter file"])
def test_a_part_of_another_file_is_not_glued(server, tmp_path, change):
    if change == "no validator":
        server.etag = ""
    server.breaks = [100_000, 0, 0, 0]
    with pytest.raises(UserError, match="broke after"):
        fetch("mine", url=server.address, cache=tmp_path)
    server.breaks = []
    if change == "another file":
        server.content, server.etag = CONTENT[::-1], '"two"'
    server.ranges = change != "no ranges"
    if change == "shorter file":  # under the same name, against all rules
        server.content = CONTENT[:50_000]
    assert fetch("mine", url=server.address, cache=tmp_path).read_bytes() == server.content


def test_checksum(server, tmp_path):
    right = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(UserError, match="has not the sha256"):
        fetch("mine", url=server.address, cache=tmp_path, sha256="0" * 64)
    assert not (tmp_path / "mine.hdf5").exists()
    path = fetch("mine", url=server.address, cache=tmp_path, sha256=f"sha256:{right.upper()}")
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="give --force"):
        fetch("mine", url=server.address, cache=tmp_path, sha256=right)
    assert fetch("mine", url=server.address, cache=tmp_path, sha256=right, force=True).read_bytes() == CONTENT


def test_one_line_errors(server, tmp_path):
    with pytest.raises(UserError, match="the server answers 404"):
        fetch("mine", url=server.address.replace("a.hdf5", "b.hdf5"), cache=tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"cannot be reached \(.*refused.*\); is there a network\?") as caught:
        fetch("mine", url=server.address, cache=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="begins with http"):
        fetch("mine", url="ftp://somewhere/a.hdf5", cache=tmp_path)
    with pytest.raises(UserError, match="Did you mean 'hopper-medium-v2'"):
        fetch("hopper-medum-v2", cache=tmp_path)
    with pytest.raises(UserError, match="no name of a file"):
        fetch("../mine", url="http://127.0.0.1/a.hdf5", cache=tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        fetch("mine", url="http://127.0.0.1/a.hdf5", cache=tmp_path / "taken")


def test_into_an_open_file(server, tmp_path):
    """pooch may hand over a file object as well."""
    with open(tmp_path / "out", "wb") as file:
        ResumingDownloader(tmp_path / "a.part", quiet=True)(server.address, file, None)
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_d4rl_by_name(server, tmp_path, hdf5, flat, monkeypatch):
    """A name of the table, whose address here is the local server's: the file reads with its references."""
    server.content = hdf5("made.hdf5", **flat).read_bytes()
    monkeypatch.setitem(D4RL_URLS, "hopper-medium-v2", server.address)
    episodes = open_episodes(fetch("hopper-medium-v2", cache=tmp_path))
    assert (len(episodes), episodes.reference.maximum) == (2, 3234.3)


def test_table_of_addresses():
    """Every set with references can be fetched, no address stands twice, and three lie where D4RL's table says."""
    assert set(D4RL_DATASETS) <= set(D4RL_URLS)
    assert len(set(D4RL_URLS.values())) == len(D4RL_URLS)
    root = "http://rail.eecs.berkeley.edu/datasets/offline_rl"
    assert D4RL_URLS["walker2d-medium-replay-v0"] == f"{root}/gym_mujoco/walker_mixed.hdf5"
    assert D4RL_URLS["hopper-medium-expert-v2"] == f"{root}/gym_mujoco_v2/hopper_medium_expert-v2.hdf5"
    umaze = "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed.hdf5"
    assert D4RL_URLS["antmaze-umaze-v2"] == f"{root}/ant_maze_v2/{umaze}"


def test_minari_by_id(make, tmp_path, monkeypatch, capsys):
    """Minari's own download, its cloud replaced by a folder."""
    import shutil

    remote = tmp_path / "remote"
    write_minari(make(), remote / "toy" / "mixed-v0")
    (remote / "toy" / "mixed-v0" / "data" / "metadata.json").write_text(
        (remote / "toy" / "mixed-v0" / "data" / "metadata.json").read_text().replace('"mixed-v0"', '"toy/mixed-v0"')
    )

    class Cloud:
        def list_datasets(self, prefix: str | None = None) -> list[str]:
            return [name for name in ("toy/mixed-v0",) if name.startswith(prefix or "")]

        def get_dataset_metadata(self, dataset_id: str) -> dict[str, Any]:
            return minari.MinariDataset(remote / dataset_id / "data").storage.metadata

        def download_dataset(self, dataset_id: str, path: Path) -> None:
            shutil.copytree(remote / dataset_id, path / dataset_id)

        def list_namespaces(self) -> list[str]:
            return ["toy"]

        def download_namespace_metadata(self, namespace: str, path: Path) -> None:
            (path / namespace / "namespace_metadata.json").write_text("{}")

    for place in ("minari.storage.hosting", "minari.namespace"):
        monkeypatch.setattr(f"{place}.get_cloud_storage", lambda *_, **__: Cloud())
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    path = fetch("minari:toy/mixed-v0", cache=tmp_path / "kept")
    assert path == tmp_path / "kept" / "toy" / "mixed-v0"
    assert open_episodes(path).fingerprint == make().fingerprint
    assert capsys.readouterr().out == ""
    assert fetch("toy/mixed-v0", cache=tmp_path / "kept") == path
    with pytest.raises(UserError, match="Couldn't find any version"):
        fetch("minari:toy/other-v0", cache=tmp_path / "kept")
    with pytest.raises(UserError, match="no id of a Minari set"):
        fetch("minari:toy mixed", cache=tmp_path / "kept")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr("minari.storage.hosting.get_cloud_storage", unreachable)
    with pytest.raises(UserError, match=r"Name or service not known\); is there a network"):
        fetch("minari:toy/third-v0", cache=tmp_path / "kept")
