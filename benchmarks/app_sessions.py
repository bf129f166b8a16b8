"""Measure the memory of the app over many browser pages, each opened once and left open.

Each session asks for the page, then for the gallery, and reads the answer, as a browser does.
Prints a Markdown table with the resident memory of the server.

    python benchmarks/app_sessions.py runs/photos photos --sessions 1000
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

ROUTES = "gradio_api/queue"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100, help="sessions between two rows")
    parser.add_argument("--port", type=int, default=7899)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "segdistill.cli.main", "app", options.run]
        command += ["--images", options.images, "--port", options.port, "--no-browser"]
        process = subprocess.Popen(  # noqa: S603
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            env=os.environ | {"TMPDIR": scratch},
            text=True,
        )
        try:
            measure(process, options.sessions, options.every)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
        left = [path.name for path in Path(scratch).glob("segdistill-app-*")]
    print(f"\nLeft behind after SIGTERM: {', '.join(left) or 'nothing'}")


def measure(process: "subprocess.Popen[str]", sessions: int, every: int) -> None:
    if process.stdout is None:
        raise SystemExit("the server prints nothing")
    url = next(line.split()[1] for line in process.stdout if line.startswith("Page:"))
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"{url}config") as answer:
        events = json.load(answer)["dependencies"]
    gallery = next(
        event for event in events if event["inputs"] and event["targets"][0][1] == "load"
    )
    print("| sessions | MB | seconds |\n|---|---|---|")
    begun = time.perf_counter()
    for number in range(1, sessions + 1):
        with opener.open(url) as page:
            page.read()
        session = f"session{number}"
        event = {
            "data": [None] * len(gallery["inputs"]),
            "fn_index": gallery["id"],
            "session_hash": session,
        }
        body = json.dumps(event).encode()
        headers = {"content-type": "application/json", "origin": url.rstrip("/")}
        request = Request(f"{url}{ROUTES}/join", body, headers)  # noqa: S310
        with opener.open(request) as joined:
            joined.read()
        with opener.open(f"{url}{ROUTES}/data?session_hash={session}") as stream:
            last = stream.read()
        if b'"success":true' not in last:
            raise SystemExit(f"session {number}: {last[-300:]!r}")
        if number in {1, 10} or number % every == 0:
            seconds = time.perf_counter() - begun
            print(
                f"| {number} | {resident_megabytes(process.pid):.0f} | {seconds:.0f} |", flush=True
            )


def resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the server has ended")


if __name__ == "__main__":
    main()
