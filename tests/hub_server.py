"""A minimal Hugging Face hub for tests, with the requests that its client sends."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

TOKEN = "hf_of_the_test"  # noqa: S105 - no secret


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the client to its offline mode."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    # Before 1.0, a session keeps the mode that it began with.
    getattr(huggingface_hub.utils, "reset_sessions", lambda: None)()


@dataclass
class Hub:
    """The content of the hub.

    Attributes:
        repositories: files by repository and path.
        private: names of private repositories.
        requests: method and path of each request, in order.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def commit_of(self, name: str) -> str:
        """Return a hash of a repository's files."""
        return hashlib.sha1(repr(sorted(self.repositories[name].items())).encode()).hexdigest()  # noqa: S324

    def store(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Add the files of a commit."""
        for line in lines:
            if line["key"] == "file":
                value = line["value"]
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])


def answer(hub: Hub, method: str, path: str, body: bytes, token: str) -> tuple[int, Any, str]:
    """Return status, content (bytes, or an object to send as JSON) and commit for a request."""
    if method == "POST" and token != TOKEN:
        return 401, {"error": "Invalid username or password."}, ""
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}, ""
    if path == "/api/repos/create":
        return _created(hub, json.loads(body))
    wanted = re.fullmatch(r"/(?:api/models/)?([\w.-]+/[\w.-]+)(?:/(.*))?", path)
    if wanted is None or wanted[1] not in hub.repositories:
        return 404, {"error": "Repository not found"}, ""
    return _of_repository(hub, wanted[1], wanted[2] or "", body)


def _created(hub: Hub, wanted: dict[str, Any]) -> tuple[int, Any, str]:
    name = f"{wanted.get('organization') or 'someone'}/{wanted['name']}"
    if name in hub.repositories:
        url = f"{hub.url}/{name}"
        return 409, {"error": "You already created this model repo", "url": url}, ""
    hub.repositories[name] = {}
    if wanted.get("private") or wanted.get("visibility") == "private":
        hub.private.add(name)
    return 200, {"url": f"{hub.url}/{name}", "name": name}, ""


def _of_repository(hub: Hub, name: str, rest: str, body: bytes) -> tuple[int, Any, str]:
    files, commit = hub.repositories[name], hub.commit_of(name)
    verb, _, below = rest.partition("/")
    if verb == "resolve":
        file = files.get(below.partition("/")[2])
        return (200, file, commit) if file is not None else (404, b"", commit)
    if verb == "preupload":
        asked = json.loads(body)["files"]
        modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
        return 200, {"files": modes}, commit
    if verb == "commit":
        hub.store(name, [json.loads(line) for line in body.splitlines()])
        commit = hub.commit_of(name)
        return 200, {"commitUrl": f"{hub.url}/{name}/commit/{commit}", "commitOid": commit}, commit
    if verb == "tree":
        listing = [
            {"type": "file", "path": path, "size": len(content), "oid": commit}
            for path, content in files.items()
        ]
        return 200, listing, commit
    siblings = [{"rfilename": path} for path in files]
    return 200, {"id": name, "modelId": name, "sha": commit, "siblings": siblings}, commit


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty hub on this machine while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, content, commit = answer(hub, self.command, path, body, token)
            is_file = isinstance(content, bytes)
            sent = content if is_file else json.dumps(content).encode()
            self.send_response(status)
            kind = "application/octet-stream" if is_file else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(sent)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha1(sent).hexdigest()}"')  # noqa: S324
            if status == 404:
                is_entry = "/resolve/" in path and bool(commit)
                self.send_header("X-Error-Code", "EntryNotFound" if is_entry else "RepoNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)

        do_GET = do_POST = do_HEAD = respond  # noqa: N815 - named by the library

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
