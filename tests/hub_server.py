"""A server that speaks as much of the Hugging Face hub's HTTP as fetching a dataset takes, on this machine.

with hub({"owner/name": Repository({"train.jsonl": b"..."})}) as server:
    server.address        # "http://127.0.0.1:40123", for HF_ENDPOINT
    server.asked          # [("GET", "/api/datasets/owner/name/revision/main", "Bearer hf_..."), ...]
"""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

_API = re.compile(r"/api/datasets/([^/]+/[^/]+)/(revision|tree)/([^/?]+)")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Repository:
    """A dataset repository: its files, its branches and tags by name, the token that it wants, and if it is gated."""

    files: Mapping[str, bytes]
    commit: str = "1" * 40
    others: Mapping[str, "Repository"] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def at(self, revision: str) -> "Repository | None":
        if revision in ("main", self.commit):
            return self
        named = self.others.get(revision)
        return named or next((one for one in self.others.values() if one.commit == revision), None)


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.asked = repositories, []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, token = unquote(self.path.partition("?")[0]), self.headers.get("Authorization")
        self.server.asked.append((self.command, path, token))
        match = _API.match(self.path) or _FILE.match(path)
        if match is None:
            return self._refuse(404, "", "unknown address")
        name, *rest = match.groups()
        repository = self.server.repositories.get(name)
        if repository is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if token == "Bearer hf_expired":
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if repository.token is not None and token != f"Bearer {repository.token}":
            if repository.gated:
                return self._refuse(403 if token else 401, "GatedRepo", "Access to the dataset is restricted")
            return self._refuse(401, "RepoNotFound", "Repository not found")
        there = repository.at((rest[1] if match.re is _API else rest[0]).replace("%2F", "/"))
        if there is None:
            return self._refuse(404, "RevisionNotFound", "Invalid rev id")
        if match.re is _FILE:
            return self._file(there, rest[1])
        if rest[0] == "revision":
            files = [{"rfilename": path} for path in there.files]
            return self._json({"id": name, "sha": there.commit, "siblings": files})
        files = [(path, len(data), _tag(data)) for path, data in there.files.items()]
        return self._json([{"type": "file", "path": path, "size": size, "oid": tag} for path, size, tag in files])

    def _file(self, repository: Repository, path: str) -> None:
        data = repository.files.get(path)
        if data is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        return self._send(200, data, {"ETag": f'"{_tag(data)}"', "X-Repo-Commit": repository.commit})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextlib.contextmanager
def hub(repositories: Mapping[str, Repository]) -> Iterator[HubServer]:
    server = HubServer(repositories)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
