"""Runs the command with the tiny backbone, in a process of its own: gradio leaves sockets."""

import sys
from typing import Any

from tests.helpers import TinyBackbone

from segdistill.backbones import BackboneEntry, registry
from segdistill.cli.main import main

LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "", None}  # noqa: S104


def tell_of_outside(event: str, values: tuple[Any, ...]) -> None:
    """Print a line for each attempt to reach another computer."""
    if event == "socket.connect":
        place = values[1]
    elif event == "socket.getaddrinfo":
        place = values[:2]
    else:
        return
    if isinstance(place, tuple) and place[0] not in LOCAL:
        print("OUTSIDE", event, place, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.addaudithook(tell_of_outside)
    registry._ENTRIES["tiny"] = BackboneEntry(
        "tiny", "embedded", "for tests", lambda _source: TinyBackbone()
    )
    sys.exit(main(sys.argv[1:]))
