"""The web server of the app, which only listens on this computer by default."""

import contextlib
import ipaddress
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from segdistill.app.events import KnownRequests
from segdistill.app.middleware import KnownHosts, Policy, SameOrigin
from segdistill.app.views import part
from segdistill.errors import UserError, missing_extra

LOCAL_HOST = "127.0.0.1"
MAX_UPLOAD_BYTES = 1 << 29
KEPT_SESSIONS = 32
"""Browser pages whose state is kept; each takes about 0.4 MB. An older one starts again."""
TERMINATED = 128 + signal.SIGTERM
"""Exit status of a process ended by SIGTERM, as shells report it."""
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
FIXED_FONT = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: URL of the page.
        page: the Gradio page.
    """

    url: str
    page: Any

    def wait(self) -> None:
        """Wait until Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(0.2)


def require_gradio() -> None:
    """Check that Gradio is installed, without the slow import.

    Raises:
        UserError: Gradio is not installed; the message names the extra.
    """
    if find_spec("gradio") is None:
        raise UserError(f"the app {missing_extra('gradio', 'app')}")


@contextlib.contextmanager
def serving(build: Any, *, host: str = LOCAL_HOST, port: int | None = None) -> Iterator[Server]:
    """Serve a page until the block ends.

    Uploads go to a temporary folder that is removed at the end, on SIGTERM too.

    Args:
        build: builds the Gradio page.
        host: address to listen on.
        port: port to listen on; by default the first free port from 7860.

    Raises:
        UserError: the address is invalid, or the port is not available.
    """
    with (
        _exit_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="segdistill-app-") as uploads,
        _environment(uploads),
    ):
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
                max_file_size=MAX_UPLOAD_BYTES,
                state_session_capacity=KEPT_SESSIONS,
                # In the head, since Gradio rewrites the selectors of style sheets passed as css.
                head=f"<style>{part('style.css')}</style>",
                theme=_theme(),
                app_kwargs={"middleware": _middleware(host, page, uploads)},
            )[1]
        except OSError as error:
            raise UserError(_not_served(host, port)) from error
        try:
            yield Server(url, page)
        finally:
            page.close(verbose=False)


def is_local(host: str) -> bool:
    """Return whether an address is only reachable from this computer.

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
    """Open the page in a browser, unless the machine has no display."""
    has_screen = sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if has_screen:
        webbrowser.open(url)


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Leave the block on SIGTERM, so that it is cleaned up, instead of ending at once."""
    if threading.current_thread() is not threading.main_thread():  # signals arrive there only
        yield
        return

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _environment(uploads: str) -> Iterator[None]:
    """Set Gradio's upload folder and disable its analytics."""
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

    # System fonts, since Gradio's would be downloaded.
    return Default(primary_hue="blue", neutral_hue="slate", font=FONT, font_mono=FIXED_FONT)


def _middleware(host: str, page: Any, uploads: str) -> Sequence[Any]:
    from starlette.middleware import Middleware  # noqa: PLC0415

    names = {"localhost", LOCAL_HOST, host.lower()}
    if not is_local(host):
        own = socket.gethostname().lower()
        names |= {own, f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}
    chosen = [
        Middleware(Policy),
        Middleware(KnownHosts, names=frozenset(names), addresses=not is_local(host)),
        Middleware(SameOrigin),
    ]
    # What surrounds an uploaded file is small.
    known = {"uploads": Path(uploads), "max_bytes": MAX_UPLOAD_BYTES + (1 << 20)}
    chosen.append(Middleware(KnownRequests, page=page, **known))
    return chosen


def _not_served(host: str, port: int | None) -> str:
    if port is None:
        return f"--host {host}: cannot listen on this address, or no port is free; choose a --port"
    return f"--port {port}: already in use or not permitted on {host}; choose another port"
