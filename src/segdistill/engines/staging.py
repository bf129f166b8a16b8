"""Bringing files to hand and sending what was made of them, while the work continues between."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from segdistill.engines.work import Row
from segdistill.errors import FullDiskError, UserError
from segdistill.images.folder import ImageFile
from segdistill.images.remote import RemoteImage
from segdistill.prefetch import in_threads
from segdistill.storage import Folder, RemoteFolder

CHUNK = 8
"""Files that are brought together while as many before them are worked on."""

TRANSFERS = 8
"""Files that are under way at a time: a far place takes long to answer, not to work."""


class Job(NamedTuple):
    """An image, and what is to be made of it.

    Attributes:
        source: where it lies, path or URL.
        file: where it is at hand.
        output: relative name of what is made of it.
    """

    source: str
    file: ImageFile
    output: Path


Make = Callable[[Sequence[Job], Path], Iterator[Row]]
"""Writes what is made of files into a folder. Yields a row for each: the image's ``name`` and the
``output``'s, or the ``reason`` why there is none, which begins with the path of the file."""


class _Stage(NamedTuple):
    folder: Path
    jobs: list[Job]
    rows: list[Row]

    @property
    def made(self) -> Path:
        """Where what is made lies until it is sent."""
        return self.folder / "made"


def item_row(image: ImageFile | RemoteImage, output: Path) -> Row:
    """Return an image, and what is to be made of it, as a row that can be sent to a worker."""
    row = {"name": image.name.as_posix(), "output": output.as_posix()}
    if isinstance(image, RemoteImage):
        return {**row, "folder": image.folder, "key": image.key}
    return {**row, "path": str(image.path.absolute())}


def run_staged(rows: Sequence[Row], out: Folder, make: Make) -> Iterator[Row]:
    """Make something of images wherever they lie, and put it where it is to go.

    What is far is copied to a temporary folder, some files at a time, the next of them while these
    are worked on; what is made goes the same way back. What belongs to an output goes before it:
    where an output exists, all that belongs to it does.

    Args:
        rows: by :func:`item_row`.
        out: where outputs go.
        make: does the work.

    Yields:
        The rows that ``make`` yields, of images that cannot be had among them.

    Raises:
        UserError: something cannot be written.
    """
    if out.path is not None and all("path" in row for row in rows):
        jobs = [_job(row, Path(row["path"])) for row in rows]
        yield from make(jobs, out.path)
        return
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with tempfile.TemporaryDirectory(prefix="segdistill-") as scratch:

        def fetch(chunk: Sequence[Row]) -> _Stage:
            return _fetched(chunk, Path(tempfile.mkdtemp(dir=scratch)))

        def work(stage: _Stage) -> _Stage:
            folder = stage.made if out.path is None else out.path
            sources = {job.file.name.as_posix(): job for job in stage.jobs}
            for row in make(stage.jobs, folder):
                if "reason" in row:
                    job = sources[row["name"]]
                    row["reason"] = row["reason"].replace(str(job.file.path), job.source)
                stage.rows.append(row)
            return stage

        def send(stage: _Stage) -> list[Row]:
            if out.path is None:
                _send(stage, out)
            shutil.rmtree(stage.folder)
            return stage.rows

        fetched = in_threads(fetch, chunks, threads=1, ahead=1)
        for sent in in_threads(send, map(work, fetched), threads=1, ahead=1):
            yield from sent


def _job(row: Row, path: Path) -> Job:
    source = row["path"] if "path" in row else f"{row['folder']}/{row['key']}"
    return Job(source, ImageFile(path, Path(row["name"])), Path(row["output"]))


def _fetched(rows: Sequence[Row], folder: Path) -> _Stage:
    def fetch(row: Row) -> Job | Row:
        if "path" in row:
            return _job(row, Path(row["path"]))
        copy = folder / "images" / row["name"]
        try:
            RemoteFolder(row["folder"]).fetch(row["key"], copy)
        except FullDiskError:
            raise
        except UserError as error:
            return {"name": row["name"], "reason": str(error)}
        return _job(row, copy)

    with ThreadPoolExecutor(TRANSFERS) as pool:
        each = list(pool.map(fetch, rows))
    jobs = [job for job in each if isinstance(job, Job)]
    return _Stage(folder, jobs, [row for row in each if not isinstance(row, Job)])


def _send(stage: _Stage, out: Folder) -> None:
    outputs = {row["output"] for row in stage.rows if "output" in row}
    paths = [path for path in stage.made.rglob("*") if path.is_file()]
    names = {path: path.relative_to(stage.made).as_posix() for path in paths}
    for last in (False, True):
        with ThreadPoolExecutor(TRANSFERS) as pool:
            chosen = [path for path in paths if (names[path] in outputs) == last]
            # Errors come out here.
            list(pool.map(lambda path: out.send(path, names[path]), chosen))
