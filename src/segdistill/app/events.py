"""The requests that the page makes, and no others: ASGI middleware and checks of their content.

Gradio answers whatever it understands, and prints a traceback for the rest. The page needs only a
few of its routes, and each event has inputs of known types.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from segdistill.app.middleware import READING, Application, Message, Receive, Scope, Send, refuse
from segdistill.app.requests import MovePoint, Navigation, edit_requests, read_request
from segdistill.app.teaching_requests import TeachingRequest
from segdistill.errors import UserError

JOIN = "/gradio_api/queue/join"
STREAM = "/gradio_api/queue/data"
CHANGING_ROUTES = frozenset({JOIN, "/gradio_api/upload", "/gradio_api/reset", "/gradio_api/cancel"})
# Calls by name; the events of the page have no public name.
UNUSED_ROUTES = ("/gradio_api/call/", "/gradio_api/api/", "/gradio_api/run/")
MAX_EVENT_BYTES = 1 << 20


class KnownRequests:
    """Passes the requests that the page makes, and answers others with 4xx.

    Args:
        app: the application.
        page: the Gradio page, whose events are known.
        uploads: folder of uploaded files.
        max_bytes: size of the largest request.
    """

    def __init__(self, app: Application, page: Any, uploads: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.app = app
        self.page = page
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not self._is_known(scope):
            await refuse(send, 404, "no such request", scope)
        elif _declared_size(scope) > self.max_bytes:
            await refuse(send, 413, "too large", scope)
        elif scope["method"] in READING or scope["path"] != JOIN:
            await self.app(scope, receive, send)
        else:
            body = await _body(receive)
            reason = "larger than an event" if body is None else self._mistake(body)
            if body is None or reason:
                await refuse(send, 413 if body is None else 400, reason, scope)
            else:
                await self.app(scope, _replayed(body, receive), send)

    def _is_known(self, scope: Scope) -> bool:
        path = scope["path"]
        if scope["method"] not in READING:
            return path in CHANGING_ROUTES
        if path == STREAM:
            # Gradio begins the answer before it looks the session up.
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])
            return session[0] in self.page._queue.pending_messages_per_session  # noqa: SLF001
        return not path.startswith(UNUSED_ROUTES)

    def _mistake(self, body: bytes) -> str:
        """Return what is wrong with an event; empty if nothing is."""
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            return "not JSON"
        if not isinstance(event, dict) or not isinstance(event.get("session_hash"), str):
            return "no event"
        number, data = event.get("fn_index"), event.get("data")
        # True equals 1.
        known = isinstance(number, int) and not isinstance(number, bool)
        function = self.page.fns.get(number) if known else None
        if function is None or not isinstance(data, list):
            return "no such event"
        if not has_valid_inputs(function.inputs, data, self.uploads):
            return "other inputs than the event has"
        action = event.get("event_data")
        # Other events, such as the choice of a tab, have data that nothing reads.
        if function.collects_event_data and isinstance(action, dict) and action:
            return "" if is_request_of_the_page(action) else "no action of the page"
        return ""


def has_valid_inputs(components: Sequence[Any], values: Sequence[Any], uploads: Path) -> bool:
    """Return whether values are what Gradio components of the page may send.

    Args:
        components: sliders, selections, files and states.
        values: the values sent.
        uploads: folder that files must be in.
    """
    return len(components) == len(values) and all(
        _is_valid(component, value, uploads)
        for component, value in zip(components, values, strict=True)
    )


def _is_valid(component: Any, value: Any, uploads: Path) -> bool:
    if hasattr(component, "choices"):
        # A dictionary would not be hashable, and 1 equals True.
        allowed = [choice for _, choice in component.choices]
        return value is None or (isinstance(value, str) and value in allowed)
    if hasattr(component, "minimum"):
        # NaN is in no range, and whole numbers too large for a float are compared as they are.
        return _is_number(value) and component.minimum <= value <= component.maximum
    if hasattr(component, "file_types"):
        return value is None or _is_upload(value, uploads)
    return True  # states are kept by the server, whatever is sent


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_upload(value: Any, uploads: Path) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        return False
    try:
        path = Path(value["path"]).resolve()
        return path.is_relative_to(uploads.resolve()) and path.is_file()
    except (OSError, ValueError):
        return False


def is_request_of_the_page(data: Mapping[str, Any]) -> bool:
    """Return whether an action sent by the browser is one that the page sends.

    Example:
        >>> is_request_of_the_page({"do": "open", "index": "3"})
        True
        >>> is_request_of_the_page({"do": "open", "index": "three"})
        False
    """
    for kinds in (Navigation, MovePoint, TeachingRequest, edit_requests()):
        with contextlib.suppress(UserError):
            read_request(data, kinds)
            return True
    return False


def _declared_size(scope: Scope) -> int:
    """Return the size that the headers of a request declare; 0 without a valid one."""
    sizes = [value for key, value in scope["headers"] if key == b"content-length"]
    return max((int(size) for size in sizes if size.isdigit()), default=0)


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; ``None`` if it is too large."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_EVENT_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that was read, then what follows."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
