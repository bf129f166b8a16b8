"""Who may ask what: ASGI middleware that every request passes before Gradio sees it."""

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Methods that change nothing.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Blocks all requests to other hosts.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:;"
    " frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


class Policy:
    """Adds the content security policy to responses."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await self.app(scope, receive, send_with_policy)


class KnownHosts:
    """Refuses requests whose host is a name that others may have given to this computer.

    A page of a name whose address changes to this computer's (DNS rebinding) would else be of the
    same origin as the app. Addresses cannot be taken over in that way.

    Args:
        app: the application.
        names: names of this computer, in lower case.
        addresses: whether any IP address is a host, as when the app listens on all of them.
    """

    def __init__(self, app: Application, names: frozenset[str], *, addresses: bool) -> None:
        self.app = app
        self.names = names
        self.addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        asked = scope["type"] in {"http", "websocket"}
        if asked and not is_known_host(scope["headers"], self.names, addresses=self.addresses):
            await refuse(send, 400, "unknown host: open the page by its IP address", scope)
        else:
            await self.app(scope, receive, send)


def is_known_host(
    headers: list[tuple[bytes, bytes]], names: frozenset[str], *, addresses: bool
) -> bool:
    """Return whether a request was sent to one of the names or, if allowed, to an IP address.

    Example:
        >>> is_known_host([(b"host", b"10.0.0.7:7860")], frozenset({"desk"}), addresses=True)
        True
        >>> is_known_host([(b"host", b"elsewhere:7860")], frozenset({"desk"}), addresses=True)
        False
    """
    hosts = [value.decode("latin-1").lower() for key, value in headers if key == b"host"]
    address = _address(f"http://{hosts[0]}") if len(hosts) == 1 else None
    if address is None:
        return False
    if address[0] in names:
        return True
    try:
        ipaddress.ip_address(address[0])
    except ValueError:
        return False
    return addresses


class SameOrigin:
    """Refuses requests that may change something and were sent by a page of another origin.

    Browsers name the origin of such requests; programs other than browsers need not. The origin
    must be the host that the request was sent to, whatever that is called: with ``--host 0.0.0.0``,
    a computer has many names.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        changing = scope["type"] == "websocket" or (
            scope["type"] == "http" and scope["method"] not in READING
        )
        if changing and not is_same_origin(scope["headers"]):
            await refuse(send, 403, "sent by a page of another origin", scope)
        else:
            await self.app(scope, receive, send)


def is_same_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether the headers of a request may come from a page of the host it was sent to.

    Example:
        >>> is_same_origin([(b"host", b"localhost:7860"), (b"origin", b"http://localhost:7860")])
        True
        >>> is_same_origin([(b"host", b"localhost:7860"), (b"origin", b"http://elsewhere")])
        False
        >>> is_same_origin([(b"host", b"localhost:7860"), (b"sec-fetch-site", b"cross-site")])
        False
    """

    def values(name: bytes) -> list[str]:
        return [value.decode("latin-1").lower() for key, value in headers if key == name]

    hosts, origins = values(b"host"), values(b"origin")
    if len(hosts) != 1 or len(origins) > 1:
        return False
    if not set(values(b"sec-fetch-site")) <= {"same-origin", "none"}:
        return False
    if not origins:
        return True
    scheme = origins[0].partition("://")[0]
    origin = _address(origins[0])
    return origin is not None and origin == _address(f"{scheme}://{hosts[0]}")


def _address(url: str) -> tuple[str, int | None] | None:
    """Return the host and port of a URL, or ``None`` if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None


async def refuse(send: Send, status: int, reason: str, scope: Scope) -> None:
    """Answer a request with an error and a reason, in JSON."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
