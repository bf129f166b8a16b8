"""Segmenting very many images, here or by many workers, from and to wherever they lie."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segdistill.api.common import Source
from segdistill.api.engine_plan import Replacing, find_sources, plan_outputs
from segdistill.engines.running import run_work
from segdistill.engines.staging import TRANSFERS
from segdistill.engines.work import EngineName, Row
from segdistill.errors import FullDiskError, UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.folder import SegmentedFiles, pixels_of_masks
from segdistill.inference.frame_sequences import check_video_options
from segdistill.inference.image_table import (
    IMAGES_FILE,
    ImageRow,
    warn_of_unusual,
    write_image_table,
)
from segdistill.inference.mask_files import MaskPixels
from segdistill.inference.mask_work import MaskWork
from segdistill.inference.masks import CLASSES_FILE, check_same_classes, write_classes
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, files_beside
from segdistill.model.segmenter import Segmenter
from segdistill.prefetch import in_threads
from segdistill.processes import in_group
from segdistill.progress import progress_bar
from segdistill.storage import Folder, for_workers


def segment_by_engine(
    run: Source | Segmenter,
    sources: Sequence[Source],
    out: Folder,
    options: MaskOptions,
    *,
    engine: EngineName,
    workers: int | None,
    settings: dict[str, Any],
    progress: bool,
) -> SegmentedFiles:
    """Segment images from and to wherever they lie; see :func:`segdistill.api.segment`.

    Args:
        run: a run folder, or a model.
        sources: folders, files and patterns, some of them perhaps URLs.
        out: where masks go.
        options: how, and what to write beside the masks.
        engine: who does it.
        workers: how many of them, for Ray.
        settings: backbone, device and precision, for a run folder.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    _check(run, options, engine)
    images = find_sources(sources, out)
    plan = plan_outputs(
        images,
        picture_names(images),
        out,
        Replacing(options.overwrite, options.resume),
        forms=_forms(options),
        summary=CLASSES_FILE,
        kind="masks",
    )
    work, segmenter = _work(run, out, options, engine, settings)
    if plan.kept:
        _check_kept(out, segmenter)
    items = list(plan.items)
    pixels = np.zeros(len(segmenter.classes), np.int64)
    with progress_bar("Reading masks", len(plan.kept), shown=progress) as advance:
        for row, counts in _counted(plan.kept, out, len(pixels)):
            if counts is None:
                items.append(row)
            else:
                pixels += counts
            advance(1)
    done = SegmentedFiles(out.path or out.address, kept=len(images) - len(items))
    if items and out.path is None:
        # By it the folder is known for one of masks, even if this is killed.
        _send_classes(out, segmenter, np.zeros_like(pixels))
    for row in run_work(
        work, items, engine=engine, workers=workers, label="Segmenting", progress=progress
    ):
        if "reason" not in row:
            pixels += np.array(row["pixels"], np.int64)
            done.written += 1
            done.images.append(ImageRow(row["output"], tuple(row["pixels"]), row["distance"]))
        elif options.strict:
            raise UnreadableImageError(row["reason"])
        else:
            name = Path(row["name"])
            done.skipped.append(SkippedImage(ImageFile(name, name), row["reason"]))
    if done.written or done.kept:
        _send_table(out, segmenter, done, keep=options.resume)
        _send_classes(out, segmenter, pixels)
    return done


def _check(run: Source | Segmenter, options: MaskOptions, engine: EngineName) -> None:
    """Check what does not go together.

    Raises:
        UserError: something does not.
    """
    if isinstance(run, Segmenter) and engine == "ray":
        raise UserError("--engine ray: workers load the run themselves: give its folder")
    if in_group():
        fix = "give --workers instead" if engine == "ray" else "with URLs, --engine ray does"
        raise UserError(f"--devices: cannot be shared out in this way here; {fix}")
    check_video_options(options, videos=False)
    if options.video:
        raise UserError("--video: is for frames on this machine, without --engine ray")


def _work(
    run: Source | Segmenter,
    out: Folder,
    options: MaskOptions,
    engine: EngineName,
    settings: dict[str, Any],
) -> tuple[MaskWork, Segmenter]:
    """Return the work, and the model, which here has to tell its classes at least."""
    if isinstance(run, Segmenter):
        return MaskWork(run, out, options), run
    if engine == "local":
        segmenter = Segmenter.load(run, **settings)
        return MaskWork(segmenter, out, options), segmenter
    # Mistakes are reported before workers start.
    segmenter = Segmenter.load(run, **{**settings, "device": "cpu"})
    folder = str(Path(run).absolute())
    return MaskWork(folder, for_workers(out), options, **settings), segmenter


def _check_kept(out: Folder, segmenter: Segmenter) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / CLASSES_FILE
        with contextlib.suppress(UserError):
            out.fetch(CLASSES_FILE, copy)
        check_same_classes(copy, out.address, segmenter.classes)


def _send_classes(out: Folder, segmenter: Segmenter, pixels: MaskPixels) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write_classes(Path(scratch), segmenter.classes, pixels)
        out.send(Path(scratch) / CLASSES_FILE, CLASSES_FILE)


def _send_table(out: Folder, segmenter: Segmenter, done: SegmentedFiles, *, keep: bool) -> None:
    limit = segmenter.unusual_above
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if keep:
            with contextlib.suppress(UserError):
                out.fetch(IMAGES_FILE, folder / IMAGES_FILE)
        write_image_table(folder, done.images, segmenter.classes, limit, keep=keep)
        out.send(folder / IMAGES_FILE, IMAGES_FILE)
    warn_of_unusual(done.images, limit, f"{out.path or out.address}/{IMAGES_FILE}")


def _forms(options: MaskOptions) -> Callable[[Path], list[list[Path]]]:
    """Return the ways in which a mask may lie: as a PNG, or of a GeoTIFF as one."""

    def forms(mask: Path) -> list[list[Path]]:
        either = (mask, mask.with_suffix(RASTER_SUFFIX))
        return [[path, *files_beside(path, options)] for path in either]

    return forms


def _counted(
    kept: Iterable[tuple[Row, str]], out: Folder, classes: int
) -> Iterator[tuple[Row, MaskPixels | None]]:
    """Yield images with the pixels of their masks, or none where a mask cannot be read."""

    def count(each: tuple[Row, str]) -> tuple[Row, MaskPixels | None]:
        row, name = each
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / PurePosixPath(name).name
            try:
                if out.path is None:
                    out.fetch(name, copy)
                mask = copy if out.path is None else out.path / name
                return row, pixels_of_masks([mask], classes)
            except FullDiskError:
                raise
            except UserError:
                return row, None

    return in_threads(count, kept, threads=TRANSFERS, ahead=2 * TRANSFERS)
