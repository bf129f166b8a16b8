"""Segmenting very many images, here or by many workers, from and to wherever they lie."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segdistill.api.common import Source
from segdistill.api.engine_plan import Replacing, find_sources, plan_outputs
from segdistill.engines.running import run_work
from segdistill.engines.staging import TRANSFERS
from segdistill.engines.work import EngineName
from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.films import check_film_options
from segdistill.inference.folder import SegmentedFiles, pixels_of_masks
from segdistill.inference.mask_files import MaskPixels
from segdistill.inference.mask_work import MaskWork
from segdistill.inference.masks import CLASSES_FILE, write_classes
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, files_beside
from segdistill.model.segmenter import Segmenter
from segdistill.processes import in_group
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
        UserError: something given cannot be used; the message names it and the mend.
    """
    if isinstance(run, Segmenter) and engine == "ray":
        raise UserError("--engine ray: workers load the run themselves: give its folder")
    if in_group():
        raise UserError("--devices: does not go with --engine ray (give --workers) or with URLs")
    check_film_options(options, films=False)
    if options.video:
        raise UserError("--video: is for frames on this machine, without --engine ray")
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
    if isinstance(run, Segmenter):
        segmenter = run
        work = MaskWork(run, out, options)
    elif engine == "local":
        segmenter = Segmenter.load(run, **settings)
        work = MaskWork(segmenter, out, options)
    else:
        # Here only its classes are needed, and mistakes are told before workers start.
        segmenter = Segmenter.load(run, **{**settings, "device": "cpu"})
        work = MaskWork(str(Path(run).absolute()), for_workers(out), options, **settings)
    done = SegmentedFiles(out.path or out.place, kept=len(plan.kept))
    pixels = np.zeros(len(segmenter.classes), np.int64)
    for row in run_work(
        work, plan.items, engine=engine, workers=workers, label="Segmenting", progress=progress
    ):
        if "reason" not in row:
            pixels += np.array(row["pixels"], np.int64)
            done.written += 1
        elif options.strict:
            raise UnreadableImageError(row["reason"])
        else:
            name = Path(row["name"])
            done.skipped.append(SkippedImage(ImageFile(name, name), row["reason"]))
    pixels += _pixels_of_kept(plan.kept, out, len(pixels))
    if done.written or done.kept:
        with tempfile.TemporaryDirectory() as scratch:
            write_classes(Path(scratch), segmenter.classes, pixels)
            out.send(Path(scratch) / CLASSES_FILE, CLASSES_FILE)
    return done


def _forms(options: MaskOptions) -> Callable[[Path], list[list[Path]]]:
    """Return the ways in which a mask may lie: as a PNG, or of a GeoTIFF as one."""

    def forms(mask: Path) -> list[list[Path]]:
        either = (mask, mask.with_suffix(RASTER_SUFFIX))
        return [[path, *files_beside(path, options)] for path in either]

    return forms


def _pixels_of_kept(names: Iterable[str], out: Folder, classes: int) -> MaskPixels:
    def pixels(name: str) -> MaskPixels:
        if out.path is not None:
            return pixels_of_masks([out.path / name], classes)
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / PurePosixPath(name).name
            out.fetch(name, copy)
            return pixels_of_masks([copy], classes)

    with ThreadPoolExecutor(TRANSFERS) as pool:
        return sum(pool.map(pixels, names), np.zeros(classes, np.int64))
