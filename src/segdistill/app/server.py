"""Serving the page on this computer, and on no other unless asked to."""

import contextlib
import ipaddress
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from segdistill.app.rendering import part
from segdistill.errors import UserError, missing_extra

LOCAL_HOST = "127.0.0.1"
# The page may fetch nothing from elsewhere, whatever its parts ask for.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:;"
    " frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
FIXED_FONT = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


@dataclass(frozen=True)
class Server:
    """A page that is being served.

    Attributes:
        url: address of the page.
        page: the gradio page.
    """

    url: str
    page: Any

    def wait(self) -> None:
        """Wait until Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(0.2)


def require_gradio() -> None:
    """Check that gradio is installed, without importing it, which takes seconds.

    Raises:
        UserError: it is not; the message names the extra.
    """
    if find_spec("gradio") is None:
        raise UserError(f"the app {missing_extra('gradio', 'app')}")


@contextlib.contextmanager
def serving(build: Any, *, host: str = LOCAL_HOST, port: int | None = None) -> Iterator[Server]:
    """Serve a page until the block ends.

    Args:
        build: makes the gradio page.
        host: address to listen on.
        port: to listen on; by default the first that is free from 7860 on.

    Raises:
        UserError: the port is taken, or there is no such address.
    """
    with tempfile.TemporaryDirectory(prefix="segdistill-app-") as uploads, _environment(uploads):
        page = build()
        try:
            url = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=False,
                ssr_mode=False,
                footer_links=[],
                # As it is: gradio would rewrite the selectors of a style sheet given as such.
                head=f"<style>{part('style.css')}</style>",
                theme=_theme(),
                app_kwargs={"middleware": _middleware(host)},
            )[1]
        except OSError as error:
            raise UserError(_not_served(host, port)) from error
        try:
            yield Server(url, page)
        finally:
            page.close(verbose=False)


def is_local(host: str) -> bool:
    """Return whether only this computer can reach an address.

    Example:
        >>> [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_browser(url: str) -> None:
    """Open the page in a browser, if there is a screen to show one on."""
    has_screen = sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if has_screen:
        webbrowser.open(url)


@contextlib.contextmanager
def _environment(uploads: str) -> Iterator[None]:
    """Keep what is dropped in with the app, and remove it with it."""
    changed = {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _theme() -> Any:
    from gradio.themes import Default  # noqa: PLC0415

    # Names of the system's own fonts: gradio's would be fetched.
    return Default(primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=FIXED_FONT)


def _middleware(host: str) -> Sequence[Any]:
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415

    chosen = [Middleware(_Policy)]
    if is_local(host):
        # Another site's page could otherwise reach this one through a name that leads here.
        names = ["localhost", LOCAL_HOST, host, f"[{host}]"]
        chosen.append(Middleware(TrustedHostMiddleware, allowed_hosts=names))
    return chosen


class _Policy:
    """Adds the policy to each answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def _not_served(host: str, port: int | None) -> str:
    if port is None:
        return f"--host {host}: cannot be listened on, or no port is free; give another --port"
    return f"--port {port}: is taken or may not be used on {host}; give another one"
