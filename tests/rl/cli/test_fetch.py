"""`seqrl fetch` as a user runs it; the transfers themselves are tested beside the data."""

from __future__ import annotations

import functools
import http.server
import json
import threading

import pytest

from seqrl.cli import main


@pytest.fixture
def address(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.hdf5").write_bytes(b"bytes" * 1000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    handler.func.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetch(address, tmp_path, capsys):
    arguments = ["fetch", "mine", "--url", f"{address}/a.hdf5", "--cache", str(tmp_path / "kept")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "kept" / "mine.hdf5")
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "path": str(tmp_path / "kept" / "mine.hdf5")}


def test_list(capsys):
    assert main(["fetch", "hopper", "--list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "hopper-medium-v2" in found
    assert all("hopper" in name for name in found)
    assert main(["fetch", "all", "--list"]) == 0
    assert "kitchen-mixed-v0" in capsys.readouterr().out


def test_errors(address, tmp_path, capsys):
    for arguments, words in (
        (["hopper-medium-v3"], "Did you mean 'hopper-medium-v2'"),
        (["mine", "--url", f"{address}/b.hdf5", "--cache", str(tmp_path)], "the server answers 404"),
        (["mine", "--sha256", "12"], "64 hexadecimal digits"),
        (["cartpoole", "--list"], "Unknown part of a data set's name"),
        ([], "missing: NAME"),
    ):
        assert main(["fetch", *arguments]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
