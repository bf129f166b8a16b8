"""Targets: what the app is asked to do."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from segdistill.app.events import JOIN, MAX_EVENT_BYTES, KnownRequests, is_request_of_the_page
from segdistill.app.requests import MovePoint, Navigation, apply_edit, edit_requests, read_request
from segdistill.errors import UserError
from segdistill.layout import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.class_sets import read_class_sets
from tests.fuzz.models import small_run
from tests.fuzz.target import Target

ACTIONS: tuple[dict[str, Any], ...] = (
    {"do": "open", "index": "2"},
    {"do": "page", "page": 1},
    {"do": "close"},
    {"do": "point", "index": "2", "x": 0.5, "y": 1, "revision": "r"},
    {"do": "name_classes", "names": {"0": "road", "1": "sky"}, "revision": "r"},
    {"do": "colour_classes", "colours": {"1": [1, 2, 3]}, "revision": "r"},
    {"do": "merge_classes", "indices": [0, 1], "revision": "r"},
    {"do": "hide_classes", "indices": ["2"], "hide": True, "revision": "r"},
    {"do": "recluster", "classes": "2", "level": None, "revision": "r"},
    {"do": "recluster", "level": "coarse", "revision": "r"},
    {"do": "undo_classes", "revision": "r"},
    {"do": "redo_classes", "revision": "r"},
)


def requests() -> list[Target]:
    """Return the targets."""
    return [
        Target("app_request", _request, _action_seeds, "json"),
        Target("app_event", _Events(), _event_seeds, "json", errors=()),
        Target("app_edit", _edit, _action_seeds, "json"),
    ]


def _plain(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise UserError("not JSON, which an earlier check refuses") from None


def _request(content: bytes, folder: Path) -> None:
    data = _plain(content)
    failed = []
    for kinds in (Navigation, MovePoint, edit_requests()):
        try:
            read_request(data, kinds)
        except UserError as error:
            failed.append(error)
    if isinstance(data, Mapping):
        assert is_request_of_the_page(data) == (len(failed) < 3)
    if len(failed) == 3:
        raise failed[0]


class _Events:
    """The middleware in front of a page of one event with inputs of every kind."""

    def __init__(self) -> None:
        inputs = [
            SimpleNamespace(choices=[("Road", "road"), ("Sky", "sky")]),
            SimpleNamespace(minimum=0, maximum=1),
            SimpleNamespace(file_types=["image"]),
            SimpleNamespace(),
        ]
        self.page = SimpleNamespace(
            fns={1: SimpleNamespace(inputs=inputs, collects_event_data=True)}
        )

    def __call__(self, content: bytes, folder: Path) -> None:
        passed: list[bytes] = []
        answers: list[int] = []

        async def app(_scope: Any, receive: Any, _send: Any) -> None:
            passed.append((await receive())["body"])

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        uploads = folder / "uploads"
        uploads.mkdir(exist_ok=True)
        (uploads / "a.png").touch()
        middleware = KnownRequests(app, self.page, uploads, MAX_EVENT_BYTES)
        scope = {"type": "http", "method": "POST", "path": JOIN, "headers": [], "query_string": b""}
        asyncio.run(middleware(scope, receive, send))
        assert passed == [content] or (not passed and answers in ([400], [413])), (passed, answers)


def _edit(content: bytes, folder: Path) -> None:
    data = _plain(content)
    run = small_run(folder)
    held = {name: (run / name).read_bytes() for name in (DESCRIPTION_FILE, WEIGHTS_FILE)}
    if isinstance(data, dict):
        data["revision"] = "r"
    try:
        message = apply_edit(run, data, "r")
    except UserError:
        assert all((run / name).read_bytes() == content for name, content in held.items())
        raise
    assert message.endswith(".")
    after = read_class_sets(run)
    clusters = sorted(cluster for each in after.current.classes for cluster in each.members)
    assert clusters == list(range(len(after.current.centres)))
    names = [each.name for each in after.current.classes]
    assert len(set(names)) == len(names)


def _action_seeds() -> list[bytes]:
    return [json.dumps(each).encode() for each in ACTIONS]


def _event_seeds() -> list[bytes]:
    event = {"session_hash": "a", "fn_index": 1, "data": ["road", 0.5, {"path": "a.png"}, None]}
    return [
        json.dumps(event).encode(),
        *(json.dumps({**event, "event_data": each}).encode() for each in ACTIONS),
    ]
