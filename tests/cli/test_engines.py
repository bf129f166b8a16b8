"""Ray workers and a local S3 server from the command line, with restarts and lost workers."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.subprocesses import FIT, run, start, write_world
from tests.forking import Server

pytest.importorskip("ray", reason="needs the extra 'ray'")
boto3 = pytest.importorskip("boto3", reason="needs moto")
pytest.importorskip("s3fs", reason="needs the extra 's3'")

RAY = ("--engine", "ray", "--workers", "2", "--quiet")
PICTURES = 40


@pytest.fixture(scope="module")
def world(forking: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, one of them damaged, and a finished run."""
    folder = write_world(tmp_path_factory.mktemp("world"), PICTURES)
    fit = ("fit", "photos", "--backbone", "vit", *FIT, "--training.steps", "20", "--out", "run")
    status, _, error = forking.run(folder, *fit)
    assert status == 0, error
    (folder / "photos" / "broken.jpg").write_text("dear")
    usual = ("segment", "run", "photos", "--out", "usual", "--quiet")
    status, out, error = forking.run(folder, *usual)
    assert status == 0, error
    assert f"{PICTURES} written" in out
    return folder


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Any]:
    """A local S3 server that holds the images; environment variables give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    named = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setenv(name, value)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            client = boto3.client("s3")
            client.create_bucket(Bucket="bucket")
            for path in sorted((world / "photos").rglob("*.*")):
                name = path.relative_to(world).as_posix()
                client.upload_file(str(path), "bucket", name)
            yield client
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail("the server does not answer")


def files(folder: Path) -> dict[str, bytes]:
    """Return finished files; partial files of killed processes are hidden."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("[!.]*")
        # The table of images lists what one command did, and distances depend on batches.
        if path.is_file() and path.name != "images.csv"
    }


def objects(client: Any, prefix: str) -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return {
        each["Key"].removeprefix(prefix): client.get_object(Bucket="bucket", Key=each["Key"])[
            "Body"
        ].read()
        for each in found
        if not each["Key"].endswith("images.csv")
    }


@pytest.mark.parametrize("workers", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_store_gives_the_same_masks_as_a_folder(
    world: Path, server: Any, forking: Server, *, workers: bool
) -> None:
    usual, folder = files(world / "usual"), f"masks_{workers}"
    out_folder = f"s3://bucket/{folder}"
    command = ("segment", "run", "s3://bucket/photos", "--out", out_folder, "--resume")
    # Existing masks are kept unchanged.
    for name in ("picture_0.png", "picture_1.png", "classes.json"):
        if name == "classes.json" and not workers:
            # Without it, they may be anyone's pictures.
            status, _, error = forking.run(world, *command, "--quiet")
            assert status == 2
            assert f"{out_folder}/picture_0.png: already exists and was not written by" in error
        server.put_object(Bucket="bucket", Key=f"{folder}/{name}", Body=usual[name])
    before = _times(server)
    if workers:
        status, out, error = run(world, *command, *RAY)
    else:
        status, out, error = forking.run(world, *command, "--quiet")
    assert (status, error) == (0, "")
    assert "Skipped: s3://bucket/photos/broken.jpg: not an image that can be decoded" in out
    assert f"{PICTURES - 2} written to {out_folder}, 2 already existed" in out
    assert objects(server, f"{folder}/") == usual
    assert before.items() <= _times(server).items()
    # Nothing is left to do, so no worker is started.
    begun = time.monotonic()
    status, out, error = forking.run(world, *command)
    assert status == 0, error
    assert f"0 written to {out_folder}, {PICTURES} already existed" in out
    assert time.monotonic() - begun < 60
    assert objects(server, f"{folder}/") == usual


def _times(client: Any) -> dict[str, Any]:
    """Return when each image and mask was written."""
    found = client.list_objects_v2(Bucket="bucket")["Contents"]
    return {each["Key"]: each["LastModified"] for each in found if not each["Key"].endswith("json")}


@pytest.mark.slow
def test_features_go_from_a_store_to_a_folder(world: Path, server: Any) -> None:
    del server
    status, out, error = run(
        world, "features", "s3://bucket/photos/picture_*.png", "--backbone", "vit",
        "--resolution", "64", "--out", "maps", *RAY,
    )  # fmt: skip
    assert status == 0, error
    names = sorted(path.stem for path in (world / "photos").glob("picture_*.png"))
    assert f"{len(names)} written to maps" in out
    assert sorted(path.stem for path in (world / "maps").glob("*.npy")) == names
    array = np.load(world / "maps" / f"{names[0]}.npy")
    assert array.shape == (8, 12, 24)
    assert array.dtype == np.float16
    assert np.abs(array).max() > 0.1


@pytest.mark.slow
def test_errors_of_workers_are_one_line(world: Path) -> None:
    (world / "blocked").write_text("a file, not a folder")
    status, _, error = run(world, "segment", "run", "photos", "--out", "blocked/masks", *RAY)
    assert status == 2
    assert "blocked" in error
    assert "Traceback" not in error


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes by /proc")
@pytest.mark.slow
def test_a_lost_worker_is_replaced(world: Path) -> None:
    process = start(world, "segment", "run", "photos", "--out", "lost", *RAY, "--mirror")
    victim = _worker_of(process.pid)
    os.kill(victim, signal.SIGKILL)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert f"{PICTURES} written" in out
    status, _, error = run(
        world, "segment", "run", "photos", "--out", "mirrored", "--quiet", "--mirror"
    )
    assert status == 0, error
    assert files(world / "lost") == files(world / "mirrored")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes by /proc")
@pytest.mark.slow
def test_a_killed_driver_with_workers_resumes(world: Path) -> None:
    command = ("segment", "run", "photos", "--out", "killed", *RAY)
    process = start(world, *command)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list((world / "killed").rglob("*.png")):
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    there = len(list((world / "killed").rglob("[!.]*.png")))
    assert there
    time.sleep(5)  # until workers have noticed
    status, out, error = run(world, *command, "--resume")
    assert status == 0, error
    assert "already existed" in out
    assert files(world / "killed") == files(world / "usual")


def _worker_of(driver: int) -> int:
    """Return the process of a Ray worker that works for a driver."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (folder / "cmdline").read_text()
                if words.startswith("ray::MapWorker") and _descends(int(folder.name), driver):
                    return int(folder.name)
        time.sleep(0.02)
    pytest.fail("no worker was started")


def _descends(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        process = int(status[1])
    return False
