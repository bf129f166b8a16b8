"""Segmenting images with a model."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from segdistill.api.common import Source, cache_of, load_segmenter, with_changes
from segdistill.api.ignoring import find_ignore_masks
from segdistill.config.settings import DeviceName, EngineName, PrecisionName
from segdistill.decoding.decode import read_picture
from segdistill.decoding.pictures import Picture
from segdistill.engines.running import check_engine, run_work
from segdistill.engines.work import Image, Item
from segdistill.errors import UserError
from segdistill.features.store import default_store_folder
from segdistill.images.finding import check_exists, is_video, output_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.frame_sequences import (
    FrameSequence,
    check_video_folder,
    check_video_options,
    frames_of_files,
)
from segdistill.inference.image_masks import MaskWork
from segdistill.inference.mask_classes import (
    MaskClass,
    check_same_classes,
    mask_classes,
    write_classes,
)
from segdistill.inference.mask_folder import (
    ImageRow,
    SegmentedFiles,
    rows_of_masks,
    write_summary,
)
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions, sidecar_files
from segdistill.inference.plan import (
    OverwritePolicy,
    Plan,
    count_missing,
    find_sources,
    mask_names,
    plan_outputs,
)
from segdistill.inference.raster import reading_for
from segdistill.inference.video_segmentation import segment_frames, segment_video
from segdistill.layout import CLASSES_FILE, IMAGES_FILE
from segdistill.locks import only_writer
from segdistill.model.segmenter import Segmenter
from segdistill.processes import Group, in_group
from segdistill.progress import progress_bar
from segdistill.storage import Folder, is_url, open_folder, strip_file_scheme, with_absolute_path


def segment(
    run: Source | Segmenter,
    sources: Source | Sequence[Source],
    out: Source,
    *,
    options: MaskOptions | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    engine: EngineName = "local",
    workers: int | None = None,
    progress: bool = False,
    **changes: Any,
) -> SegmentedFiles:
    """Write a mask for each image, with the same folder tree and names as the images.

    Videos get one mask per frame, in ``out`` itself, or in a subfolder named after the video if
    there are other sources.

    Args:
        run: a run folder, or a model.
        sources: folders, image and video files, or glob patterns; for images also URLs that
            fsspec supports, such as ``s3://bucket/photos``.
        out: output folder or URL.
        options: segmentation options.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on; ignored for a loaded model.
        precision: precision of matrix products; ignored for a loaded model.
        engine: ``local``, or ``ray`` to use Ray workers on this machine or a cluster. Each worker
            loads the model, so the run and all local folders must be accessible to all workers.
        workers: number of Ray workers; by default one per GPU, or one per core.
        progress: show a progress bar.
        **changes: options that override ``options``, such as ``overlay=True``.

    Returns:
        What was written and what was skipped.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    chosen = with_changes(options, changes, MaskOptions).validated()
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    several = [strip_file_scheme(each) if isinstance(each, str) else each for each in given]
    target = open_folder(out)
    check_engine(engine, workers, [*several, out])
    _check_ray(engine, run)
    images, videos = _find_inputs(several, target, engine)
    images, masks = find_ignore_masks(images, list(videos), chosen.ignore_mask)
    check_video_options(chosen, videos=bool(videos))

    with ExitStack() as locks:

        def plan() -> Plan:
            locks.enter_context(only_writer(target.path))
            for video, folder in videos.items():
                check_video_folder(folder, video.stem, chosen)
            return _plan(images, target, chosen)

        planned = None if in_group() else plan()  # fail before the model is loaded
        # Loaded here even for Ray workers, so that errors are reported before they start.
        segmenter = load_segmenter(run, backbone, "cpu" if engine == "ray" else device, precision)
        reading_for(segmenter, chosen)  # a value range that does not fit is refused before any work
        group = segmenter.compute.group
        if group.size > 1 and (videos or chosen.video):
            raise UserError("--devices: not supported for videos; omit it")
        done = SegmentedFiles(target.path or target.address)
        for video, folder in videos.items():
            ignore = masks.get(video)
            done.add(
                segment_video(segmenter, video, folder, chosen, ignore=ignore, progress=progress)
            )
        if chosen.video and images:
            sequence = _frames(segmenter, images, target, chosen, engine)
            done.add(segment_frames(segmenter, sequence, chosen, progress=progress))
        elif images:
            store = _store_folder(run)
            shows_tiles = progress and group.is_first
            work = MaskWork(segmenter, target, chosen, show_tiles=shows_tiles, store=store)
            if engine == "ray":
                path, absolute = str(Path(str(run)).absolute()), with_absolute_path(target)
                work = MaskWork(path, absolute, chosen, backbone, device, precision, store=store)
            done.add(
                _segment_images(
                    segmenter,
                    work,
                    planned or group.from_first(plan),
                    engine=engine,
                    workers=workers,
                    group=group,
                    progress=progress,
                )
            )
        return done


def _store_folder(run: Source | Segmenter) -> Path | None:
    """Return the folder of the feature store that a run was fitted with.

    ``None`` for a model in memory: its backbone may have been changed since it was loaded.
    """
    if isinstance(run, Segmenter):
        return None
    try:
        return (cache_of(run).folder or default_store_folder()).absolute()
    except (UserError, OSError, RuntimeError):
        # Masks need neither settings nor a store: the settings may be damaged, or of another user,
        # and there may be no home directory.
        return None


def _check_ray(engine: EngineName, run: Source | Segmenter) -> None:
    if engine == "ray" and isinstance(run, Segmenter):
        raise UserError("--engine ray: workers load the model themselves; give the run folder")
    if engine == "ray" and in_group():
        raise UserError("--devices: not supported here; use --workers instead")


def _find_inputs(
    sources: Sequence[Source], out: Folder, engine: EngineName
) -> tuple[list[Image], dict[Path, Path]]:
    """Find the images of several sources, and the videos with the folders of their masks.

    Raises:
        UserError: a source is missing or empty, or two outputs would have the same name.
    """
    for source in sources:
        if is_url(source):
            continue
        check_exists(source)
        if out.path is not None and out.path.resolve() == Path(source).resolve():
            raise UserError(
                f"{out.address}: masks would be mixed with the images; choose another --out"
            )
    with_videos = engine == "local" and out.path is not None
    videos = [Path(source) for source in sources if with_videos and is_video_file(source)]
    others = [source for source in sources if not (with_videos and is_video_file(source))]
    images = find_sources(others, out) if others else []
    return images, video_folders(videos, out.path or Path(), alone=not images)


def is_video_file(source: Source) -> bool:
    """Return whether a source is a video, rather than a folder or a pattern."""
    return is_video(Path(source)) and Path(source).is_file()


def video_folders(videos: Sequence[Path], out: Path, *, alone: bool) -> dict[Path, Path]:
    """Return the mask folder of each video.

    Args:
        videos: videos to segment.
        out: output folder.
        alone: whether there are no other inputs.

    Raises:
        UserError: two videos would share a folder.

    Example:
        >>> video_folders([Path("a.mp4"), Path("b.mp4")], Path("masks"), alone=True)[Path("b.mp4")]
        PosixPath('masks/b')
    """
    if alone and len(videos) == 1:
        return {videos[0]: out}
    folders = {video: out / video.stem for video in videos}
    if len(set(folders.values())) < len(videos):
        raise UserError(
            f"{', '.join(map(str, videos))}: two have the same name; segment them in separate runs"
        )
    return folders


def _plan(images: Sequence[Image], out: Folder, options: MaskOptions) -> Plan:
    """Plan the masks of images."""
    return plan_outputs(
        images,
        [[[mask, *sidecar_files(mask, options)] for mask in names] for names in mask_names(images)],
        out,
        OverwritePolicy(options.overwrite, options.resume),
        summaries=[CLASSES_FILE, IMAGES_FILE] if images else [],
        kind="masks",
    )


def _frames(
    segmenter: Segmenter,
    images: Sequence[Image],
    out: Folder,
    options: MaskOptions,
    engine: EngineName,
) -> FrameSequence:
    """Return images as the frames of a video.

    Raises:
        UserError: they are not local, or workers would segment them.
    """
    files = [image for image in images if isinstance(image, ImageFile)]
    if out.path is None or engine == "ray" or len(files) < len(images):
        raise UserError("--video: needs local frames, without --engine ray")
    reading = reading_for(segmenter, options)

    def read(file: ImageFile) -> Picture:
        return read_picture(file.path, reading, file.ignore)

    return frames_of_files(files, output_names(files), out.path, options, read)


def _segment_images(
    segmenter: Segmenter,
    work: MaskWork,
    plan: Plan,
    *,
    engine: EngineName,
    workers: int | None,
    group: Group,
    progress: bool,
) -> SegmentedFiles:
    """Write the masks that a plan lacks, and the summary of all."""
    out, options = work.out, work.options
    classes = mask_classes(segmenter.classes, segmenter.centres)
    items, rows = group.from_first(lambda: _existing_masks(classes, plan, out, progress=progress))
    done = SegmentedFiles(out.path or out.address, kept=len(rows))
    if items and out.path is None:
        # Written first: it marks the folder as masks even if the process is killed.
        no_pixels = np.zeros(len(classes), np.int64)
        group.from_first(lambda: write_classes(out, classes, no_pixels))
    # GeoTIFFs have a progress bar of their own, which counts tiles.
    rasters = [item for item in items if item.output.endswith(RASTER_SUFFIX)]
    images = [item for item in items if not item.output.endswith(RASTER_SUFFIX)]
    policy = OverwritePolicy(options.overwrite, options.resume)
    with count_missing(items, out, policy, "masks"):
        for label, share in (("Segmenting", images), ("Segmenting GeoTIFFs", rasters)):
            for result in run_work(
                work,
                share,
                label=label,
                engine=engine,
                workers=workers,
                group=group,
                strict=options.strict,
                progress=progress and not (work.show_tiles and share is rasters),
            ):
                if result.reason:
                    name = Path(result.name)
                    done.skipped.append(SkippedImage(ImageFile(name, name), result.reason))
                else:
                    facts = result.facts
                    row = ImageRow(result.output, tuple(facts["pixels"]), facts["distance"])
                    done.images.append(row)
                    done.written += 1
    if done.written or done.kept:
        group.from_first(
            lambda: write_summary(
                out,
                classes,
                [*rows, *done.images],
                segmenter.unusual_above,
                keep=options.resume,
            )
        )
    return done


def _existing_masks(
    classes: Sequence[MaskClass], plan: Plan, out: Folder, *, progress: bool
) -> tuple[list[Item], list[ImageRow]]:
    """Return the images to segment, and the rows of existing masks, except damaged ones."""
    if plan.kept:
        check_same_classes(out, classes)
    items, rows = list(plan.items), []
    with progress_bar("Reading masks", len(plan.kept), shown=progress) as advance:
        for item, row in rows_of_masks(plan.kept, out, len(classes)):
            if row is None:
                items.append(item)
            else:
                rows.append(row)
            advance(1)
    return items, rows
