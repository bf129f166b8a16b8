"""Segmenting large sets of local or remote images, in this process or with workers."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segdistill.api.common import Source
from segdistill.api.engine_plan import OverwritePolicy, find_sources, plan_outputs
from segdistill.engines.running import run_work
from segdistill.engines.staging import TRANSFERS
from segdistill.engines.work import EngineName, Row
from segdistill.errors import FullDiskError, UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import output_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.folder import SegmentedFiles, count_pixels
from segdistill.inference.frame_sequences import check_video_options
from segdistill.inference.image_table import (
    IMAGES_FILE,
    ImageRow,
    warn_about_unusual_images,
    write_image_table,
)
from segdistill.inference.mask_files import MaskPixels
from segdistill.inference.mask_work import MaskWork
from segdistill.inference.masks import CLASSES_FILE, check_same_classes, write_classes
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, sidecar_files
from segdistill.model.segmenter import Segmenter
from segdistill.prefetch import in_threads
from segdistill.processes import in_group
from segdistill.progress import progress_bar
from segdistill.storage import Folder, with_absolute_path


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
    """Segment local or remote images; see :func:`segdistill.api.segment`.

    Args:
        run: a run folder, or a model.
        sources: folders, files, patterns and URLs.
        out: output folder.
        options: segmentation options.
        engine: ``local`` or ``ray``.
        workers: number of Ray workers.
        settings: backbone, device and precision, for a run folder.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    _check(run, options, engine)
    images = find_sources(sources, out)
    plan = plan_outputs(
        images,
        output_names(images),
        out,
        OverwritePolicy(options.overwrite, options.resume),
        variants=_variants(options),
        summary=CLASSES_FILE,
        kind="masks",
    )
    work, segmenter = _work(run, out, options, engine, settings)
    if plan.kept:
        _check_kept(out, segmenter)
    items, kept_rows = list(plan.items), list[ImageRow]()
    pixels = np.zeros(len(segmenter.classes), np.int64)
    with progress_bar("Reading masks", len(plan.kept), shown=progress) as advance:
        for row, counts in _counted(plan.kept, out, len(pixels)):
            if counts is None:
                items.append(row)
            else:
                pixels += counts
                kept_rows.append(ImageRow(row["output"], tuple(counts.tolist())))
            advance(1)
    done = SegmentedFiles(out.path or out.address, kept=len(images) - len(items))
    if items and out.path is None:
        # Written first: it marks the folder as masks even if the run is killed.
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
        _send_table(out, segmenter, [*kept_rows, *done.images], keep=options.resume)
        _send_classes(out, segmenter, pixels)
    return done


def _check(run: Source | Segmenter, options: MaskOptions, engine: EngineName) -> None:
    """Check for options that cannot be combined.

    Raises:
        UserError: two options conflict.
    """
    if isinstance(run, Segmenter) and engine == "ray":
        raise UserError("--engine ray: workers load the model themselves; give the run folder")
    if in_group():
        fix = "use --workers instead" if engine == "ray" else "for URLs, use --engine ray"
        raise UserError(f"--devices: not supported here; {fix}")
    check_video_options(options, videos=False)
    if options.video:
        raise UserError("--video: needs local frames, without --engine ray")


def _work(
    run: Source | Segmenter,
    out: Folder,
    options: MaskOptions,
    engine: EngineName,
    settings: dict[str, Any],
) -> tuple[MaskWork, Segmenter]:
    """Return the work, and a model for its classes."""
    if isinstance(run, Segmenter):
        return MaskWork(run, out, options), run
    if engine == "local":
        segmenter = Segmenter.load(run, **settings)
        return MaskWork(segmenter, out, options), segmenter
    # Load once here, so that errors are reported before workers start.
    segmenter = Segmenter.load(run, **{**settings, "device": "cpu"})
    folder = str(Path(run).absolute())
    return MaskWork(folder, with_absolute_path(out), options, **settings), segmenter


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


def _send_table(out: Folder, segmenter: Segmenter, rows: Sequence[ImageRow], *, keep: bool) -> None:
    limit = segmenter.unusual_above
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if keep:
            with contextlib.suppress(UserError):
                out.fetch(IMAGES_FILE, folder / IMAGES_FILE)
        write_image_table(folder, rows, segmenter.classes, limit, keep=keep)
        out.send(folder / IMAGES_FILE, IMAGES_FILE)
    warn_about_unusual_images(rows, limit, f"{out.path or out.address}/{IMAGES_FILE}")


def _variants(options: MaskOptions) -> Callable[[Path], list[list[Path]]]:
    """Return a function that lists the files of a mask, as PNG and as GeoTIFF."""

    def variants(mask: Path) -> list[list[Path]]:
        paths = (mask, mask.with_suffix(RASTER_SUFFIX))
        return [[path, *sidecar_files(path, options)] for path in paths]

    return variants


def _counted(
    kept: Iterable[tuple[Row, str]], out: Folder, classes: int
) -> Iterator[tuple[Row, MaskPixels | None]]:
    """Yield images with the class counts of their masks, ``None`` for an unreadable mask."""

    def count(each: tuple[Row, str]) -> tuple[Row, MaskPixels | None]:
        row, name = each
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / PurePosixPath(name).name
            try:
                if out.path is None:
                    out.fetch(name, copy)
                mask = copy if out.path is None else out.path / name
                return row, count_pixels(mask, classes)
            except FullDiskError:
                raise
            except UserError:
                return row, None

    return in_threads(count, kept, threads=TRANSFERS, ahead=2 * TRANSFERS)
