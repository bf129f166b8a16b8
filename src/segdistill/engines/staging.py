"""Staging remote files: downloads, processing and uploads overlap."""

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
"""Files downloaded together, while the previous chunk is processed."""

TRANSFERS = 8
"""Concurrent transfers; remote storage is limited by latency, not by throughput."""


class Job(NamedTuple):
    """An image and its output.

    Attributes:
        source: original path or URL.
        file: local file, possibly a temporary copy.
        output: relative name of the output.
    """

    source: str
    file: ImageFile
    output: Path


ProcessJobs = Callable[[Sequence[Job], Path], Iterator[Row]]
"""Processes files and writes the outputs to a folder. Yields a row for each: the ``name`` of the
image, and the name of the ``output`` or an error ``reason`` that begins with the file's path."""


class _Stage(NamedTuple):
    folder: Path
    jobs: list[Job]
    rows: list[Row]

    @property
    def outputs(self) -> Path:
        """Folder for outputs until they are uploaded."""
        return self.folder / "outputs"


def item_row(image: ImageFile | RemoteImage, output: Path) -> Row:
    """Return an image and its output as a row that can be sent to a worker."""
    row = {"name": image.name.as_posix(), "output": output.as_posix()}
    if isinstance(image, RemoteImage):
        return {**row, "folder": image.folder, "key": image.key}
    return {**row, "path": str(image.path.absolute())}


def run_staged(rows: Sequence[Row], out: Folder, process: ProcessJobs) -> Iterator[Row]:
    """Process local or remote images and write the outputs to a local or remote folder.

    Remote images are downloaded to a temporary folder in chunks, each while the previous one is
    processed; outputs are uploaded the same way. The sidecar files of an output are uploaded before
    it, so an existing output is always complete.

    Args:
        rows: rows from :func:`item_row`.
        out: output folder.
        process: processes the images.

    Yields:
        The rows that ``process`` yields, and rows for images that cannot be downloaded.

    Raises:
        UserError: an output cannot be written.
    """
    if out.path is not None and all("path" in row for row in rows):
        jobs = [_job(row, Path(row["path"])) for row in rows]
        yield from process(jobs, out.path)
        return
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with tempfile.TemporaryDirectory(prefix="segdistill-") as scratch:

        def fetch(chunk: Sequence[Row]) -> _Stage:
            return _fetch_chunk(chunk, Path(tempfile.mkdtemp(dir=scratch)))

        def work(stage: _Stage) -> _Stage:
            folder = stage.outputs if out.path is None else out.path
            sources = {job.file.name.as_posix(): job for job in stage.jobs}
            for row in process(stage.jobs, folder):
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


def _fetch_chunk(rows: Sequence[Row], folder: Path) -> _Stage:
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
    paths = [path for path in stage.outputs.rglob("*") if path.is_file()]
    names = {path: path.relative_to(stage.outputs).as_posix() for path in paths}
    for last in (False, True):
        with ThreadPoolExecutor(TRANSFERS) as pool:
            chosen = [path for path in paths if (names[path] in outputs) == last]
            # Consume the iterator so that errors are raised.
            list(pool.map(lambda path: out.send(path, names[path]), chosen))
