"""Staging remote files: downloads, processing and uploads overlap."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from segdistill.engines.work import Item, Job, Result
from segdistill.errors import FullDiskError, UserError
from segdistill.images.folder import ImageFile
from segdistill.prefetch import in_threads
from segdistill.storage import Folder, RemoteFolder

CHUNK = 8
"""Files downloaded together, while the previous chunk is processed."""

TRANSFERS = 8
"""Concurrent transfers; remote storage is limited by latency, not by throughput."""

ProcessJobs = Callable[[Sequence[Job], Path], Iterator[Result]]
"""Processes local images and writes the outputs to a folder; yields a result for each."""


class _Stage(NamedTuple):
    folder: Path
    jobs: list[Job]
    results: list[Result]

    @property
    def outputs(self) -> Path:
        """Folder for outputs until they are uploaded."""
        return self.folder / "outputs"


def run_staged(items: Sequence[Item], out: Folder, process: ProcessJobs) -> Iterator[Result]:
    """Process local or remote images and write the outputs to a local or remote folder.

    Remote images are downloaded to a temporary folder in chunks, each while the previous one is
    processed; outputs are uploaded the same way. The sidecar files of an output are uploaded before
    it, so an existing output is always complete.

    Args:
        items: images and the names of their outputs.

    Yields:
        The results of ``process``, and results for images that cannot be downloaded.

    Raises:
        UserError: an output cannot be written.
    """
    if out.path is not None and all(item.path for item in items):
        yield from process([_job(item, Path(item.path)) for item in items], out.path)
        return
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with tempfile.TemporaryDirectory(prefix="segdistill-") as scratch:

        def fetch(chunk: Sequence[Item]) -> _Stage:
            return _fetch_chunk(chunk, Path(tempfile.mkdtemp(dir=scratch)))

        def work(stage: _Stage) -> _Stage:
            folder = stage.outputs if out.path is None else out.path
            jobs = {job.item.name: job for job in stage.jobs}
            for result in process(stage.jobs, folder):
                job = jobs[result.name]
                # Errors name the image, not its temporary copy.
                reason = result.reason.replace(str(job.file.path), job.item.source)
                stage.results.append(replace(result, reason=reason))
            return stage

        def send(stage: _Stage) -> list[Result]:
            if out.path is None:
                _send(stage, out)
            shutil.rmtree(stage.folder)
            return stage.results

        fetched = in_threads(fetch, chunks, threads=1, ahead=1)
        for sent in in_threads(send, map(work, fetched), threads=1, ahead=1):
            yield from sent


def _job(item: Item, path: Path) -> Job:
    ignore = Path(item.ignore) if item.ignore else None
    return Job(item, ImageFile(path, Path(item.name), ignore))


def _fetch_chunk(items: Sequence[Item], folder: Path) -> _Stage:
    def fetch(item: Item) -> Job | Result:
        if item.path:
            return _job(item, Path(item.path))
        copy = folder / "images" / item.name
        try:
            RemoteFolder(item.folder).fetch(item.key, copy)
        except FullDiskError:
            raise
        except UserError as error:
            return Result(item.name, reason=str(error))
        return _job(item, copy)

    with ThreadPoolExecutor(TRANSFERS) as pool:
        each = list(pool.map(fetch, items))
    jobs = [job for job in each if isinstance(job, Job)]
    return _Stage(folder, jobs, [failed for failed in each if isinstance(failed, Result)])


def _send(stage: _Stage, out: Folder) -> None:
    outputs = {result.output for result in stage.results}
    paths = [path for path in stage.outputs.rglob("*") if path.is_file()]
    names = {path: path.relative_to(stage.outputs).as_posix() for path in paths}
    for last in (False, True):
        with ThreadPoolExecutor(TRANSFERS) as pool:
            chosen = [path for path in paths if (names[path] in outputs) == last]
            # Consume the iterator so that errors are raised.
            list(pool.map(lambda path: out.send(path, names[path]), chosen))
