"""The app's server: what it answers to requests that its page does not make."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from segdistill.app.middleware import is_known_host
from segdistill.app.server import MAX_UPLOAD_BYTES, TERMINATED

ROOT = Path(__file__).parents[2]
JOIN = "/gradio_api/queue/join"
UPLOAD = "/gradio_api/upload"
EVENT = {"session_hash": "test", "fn_index": 0, "data": []}


class Started(NamedTuple):
    process: "subprocess.Popen[str]"
    port: int
    scratch: Path

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the content of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def join(self, event: object, **headers: str) -> int:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", JOIN, body, {"content-type": "application/json"} | named)[0]

    def upload(self, content: bytes) -> tuple[int, bytes]:
        form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        return self.ask(
            "POST",
            UPLOAD,
            form + content + b"\r\n--x--\r\n",
            {"content-type": "multipart/form-data; boundary=x"},
        )

    def events(self) -> list[dict[str, Any]]:
        status, content = self.ask("GET", "/config")
        assert status == 200
        found: list[dict[str, Any]] = json.loads(content)["dependencies"]
        return found

    def event(self, name: str, inputs: int) -> int:
        """Return the number of the first event of a kind, with that many inputs."""
        return next(
            int(each["id"])
            for each in self.events()
            if each["targets"][0][1] == name and len(each["inputs"]) == inputs
        )

    def streamed(self) -> bytes:
        return self.ask("GET", "/gradio_api/queue/data?session_hash=test")[1]


def start(run: Path, photos: Path, scratch: Path, *, host: str) -> Started:
    scratch.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["app", run, "--images", photos, "--port", port, "--host", host, "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.app.serve", *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    if not any(line.startswith("Press Ctrl-C") for line in process.stdout):
        pytest.fail("the server did not start")
    return Started(process, port, scratch)


PUBLIC = pytest.param("0.0.0.0", marks=pytest.mark.slow)  # noqa: S104
"""Differs in which hosts are known, which is tested below without a server."""


@pytest.fixture(scope="module", params=["127.0.0.1", PUBLIC])
def server(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Started]:
    """A server, whose output must hold no traceback after all requests."""
    pytest.importorskip("gradio", reason="gradio is not installed (extra `app`)")
    scratch = tmp_path_factory.mktemp("app") / "scratch"
    started = start(finished / "runs" / "one", finished / "photos", scratch, host=request.param)
    try:
        yield started
        started.process.send_signal(signal.SIGTERM)
        printed, _ = started.process.communicate(timeout=60)
    finally:
        started.process.kill()
        started.process.wait()
    assert "Traceback" not in printed
    # SIGTERM removes what was uploaded.
    assert started.process.returncode == TERMINATED
    assert [path.name for path in scratch.glob("segdistill-app-*")] == []


def test_the_page_may_ask(server: Started) -> None:
    number = server.event("load", 1)
    own = f"http://127.0.0.1:{server.port}"
    assert server.join(EVENT | {"fn_index": number, "data": [None]}, origin=own) == 200
    assert b'"success":true' in server.streamed()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "https://127.0.0.1"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_change_nothing(
    server: Started, headers: dict[str, str], finished: Path
) -> None:
    before = sorted(path.stat().st_mtime_ns for path in (finished / "runs" / "one").iterdir())
    number = server.event("action", 0)
    rename = {"do": "name", "index": "0", "value": "theirs"}
    event = EVENT | {"fn_index": number, "event_data": rename}
    assert server.join(event, **headers) == 403
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    assert server.ask("POST", UPLOAD, b"", named)[0] == 403
    after = sorted(path.stat().st_mtime_ns for path in (finished / "runs" / "one").iterdir())
    assert before == after


MALFORMED: dict[str, object] = {
    "empty": b"",
    "half": b"{",
    "not UTF-8": b"\xff\xfe",
    "nested": b"[" * 100_000,
    "list": [],
    "null": None,
    "no session": {"fn_index": 0, "data": []},
    "no such event": EVENT | {"fn_index": 99_999},
    "negative event": EVENT | {"fn_index": -1},
    "text as event": EVENT | {"fn_index": "x"},
    "no inputs": EVENT | {"data": None},
    "too many inputs": EVENT | {"data": [1] * 9},
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_events_are_refused(server: Started, kind: str) -> None:
    assert server.join(MALFORMED[kind]) == 400


@pytest.mark.parametrize(
    ("name", "inputs", "values"),
    [
        ("input", 3, ["two", None, "codes"]),
        ("input", 3, [float("nan"), None, "codes"]),
        ("input", 3, [10**9, None, "codes"]),
        ("input", 3, [1, None, "other"]),
        ("input", 3, [1, None, {"a": 1}]),
        ("input", 2, [1, "/etc"]),
        ("change", 1, [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]),
        ("change", 1, ["/etc/passwd"]),
        ("change", 1, [{"path": "\0"}]),
    ],
)
def test_values_that_the_page_cannot_send_are_refused(
    server: Started, name: str, inputs: int, values: list[object]
) -> None:
    assert server.join(EVENT | {"fn_index": server.event(name, inputs), "data": values}) == 400


@pytest.mark.parametrize(
    "action",
    [{"index": "x"}, {"page": []}, {"index": "9" * 5000}, {"x": "nan"}, {"y": {}}, {"do": []}],
)
def test_actions_that_the_page_cannot_send_are_refused(
    server: Started, action: dict[str, object]
) -> None:
    event = EVENT | {"fn_index": server.event("action", 1), "data": ["codes"]}
    assert server.join(event | {"event_data": action}) == 400


@pytest.mark.parametrize(
    "action", [{"do": "none"}, {"do": "merge_classes", "indices": [99, "x", None]}]
)
def test_edits_that_the_page_cannot_ask_for_are_refused(
    server: Started, action: dict[str, object]
) -> None:
    number = server.event("action", 0)
    assert server.join(EVENT | {"fn_index": number, "event_data": action}) == 400


@pytest.mark.parametrize("action", [{}, {"do": "merge_classes", "indices": [98, 99]}])
def test_edits_that_mean_nothing_are_answered_in_the_page(
    server: Started, action: dict[str, object]
) -> None:
    number = server.event("action", 0)
    assert server.join(EVENT | {"fn_index": number, "event_data": action}) == 200
    assert b'"success":true' in server.streamed()


def test_a_tab_may_be_chosen(server: Started) -> None:
    chosen = {"value": "Classes", "index": 1}
    number = server.event("select", 0)
    assert server.join(EVENT | {"fn_index": number, "event_data": chosen}) == 200
    assert b'"success":true' in server.streamed()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/gradio_api/run/predict", 404),
        ("POST", "/gradio_api/call/show", 404),
        ("POST", "/gradio_api/component_server", 404),
        ("DELETE", "/config", 404),
        ("GET", "/gradio_api/queue/data?session_hash=unknown", 404),
        ("GET", "/gradio_api/call/x/y", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 403),
        ("GET", "/gradio_api/file=%00", 403),
        ("POST", UPLOAD, 400),
    ],
)
def test_other_routes_are_closed(server: Started, method: str, path: str, status: int) -> None:
    assert server.ask(method, path, b"{}")[0] == status


def test_uploads_have_a_limit_and_stay_in_their_folder(server: Started) -> None:
    status, content = server.upload(b"no image")
    assert status == 200
    [path] = map(Path, json.loads(content))
    assert path.read_bytes() == b"no image"
    assert path.is_relative_to(server.scratch)
    number = server.event("change", 1)
    file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    assert server.join(EVENT | {"fn_index": number, "data": [file]}) == 200
    assert b"a.png" in server.streamed()
    headers = {"content-length": str(2 * MAX_UPLOAD_BYTES)}
    assert server.ask("POST", UPLOAD, b"--x", headers)[0] == 413
    assert server.join(b" " * 2_000_000) == 413


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:7860", True),
        ("10.0.0.7", True),
        ("[fe80::1]:7860", True),
        ("desk:7860", True),
        ("DESK", True),
        ("attacker.example:7860", False),
        ("127.0.0.1.attacker.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_names_that_others_gave_are_unknown_hosts(host: str, known: bool) -> None:
    headers = [(b"host", host.encode())]
    assert is_known_host(headers, frozenset({"desk"}), addresses=True) == known
    assert not is_known_host([*headers, *headers], frozenset({"desk"}), addresses=True)
    only_names = is_known_host(headers, frozenset({"desk"}), addresses=False)
    assert only_names == host.lower().startswith("desk")
