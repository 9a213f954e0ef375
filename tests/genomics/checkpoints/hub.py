"""A local endpoint laid out as the hub is: repositories in memory, over HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class LocalHub:
    """Repositories by id; every request is written down.

    Attributes:
        endpoint: Its address.
        repositories: ``"owner/name"`` -> branch or commit -> file name -> content.
        requests: ``(method, path)`` of each request.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.endpoint = ""

    def add(self, repository: str, folder: Path, revision: str = "main") -> None:
        """Offer the files of a folder as a repository."""
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.repositories.setdefault(repository, {})[revision] = files

    def commit_of(self, repository: str, revision: str) -> str:
        """Return the commit that a branch points to."""
        if revision in self.repositories[repository]:
            return hashlib.sha1(f"{repository}@{revision}".encode()).hexdigest()
        return revision

    def files(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """Return the files at a branch or commit; None where there is no such revision."""
        for name, files in self.repositories[repository].items():
            if revision in (name, self.commit_of(repository, name)):
                return files
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep the terminal quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append((self.command, path))
        parts = path.split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._about("/".join(parts[2:4]), parts[4:])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"")

    def _missing(self, code: str) -> None:
        self._send(404, b"{}", X_Error_Code=code, Content_Type="application/json")

    def _about(self, repository: str, asked: list[str]) -> None:
        """Answer ``revision/NAME`` (or nothing: the default branch) and ``tree/NAME``."""
        kind, revision = (*asked, "main", "main")[:2] if asked else ("revision", "main")
        if repository not in self.hub.repositories:
            return self._missing("RepoNotFound")
        files = self.hub.files(repository, revision)
        if files is None:
            return self._missing("RevisionNotFound")
        if kind == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in files.items()
            ]
            return self._send(200, json.dumps(entries).encode(), Content_Type="application/json")
        commit = self.hub.commit_of(repository, revision)
        content: dict[str, object] = {
            "id": repository,
            "modelId": repository,
            "sha": commit,
            "private": False,
            "tags": [],
        }
        content["siblings"] = [{"rfilename": name} for name in files]
        self._send(200, json.dumps(content).encode(), Content_Type="application/json")

    def _file(self, repository: str, revision: str, name: str) -> None:
        if repository not in self.hub.repositories:
            return self._missing("RepoNotFound")
        files = self.hub.files(repository, revision)
        if files is None:
            return self._missing("RevisionNotFound")
        if name not in files:
            return self._missing("EntryNotFound")
        etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
        commit = self.hub.commit_of(repository, revision)
        self._send(200, files[name], ETag=etag, X_Repo_Commit=commit, Content_Type="application/octet-stream")


@contextlib.contextmanager
def running_hub() -> Iterator[LocalHub]:
    """Serve a local hub on a free port until the block ends."""
    hub = LocalHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
