"""Segmenting images with a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, load_segmenter, with_changes
from segdistill.api.engine_segmenting import segment_by_engine
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.engines.running import check_engine
from segdistill.engines.work import EngineName
from segdistill.errors import UserError
from segdistill.images.finding import check_exists, is_video, output_names
from segdistill.images.folder import ImageFile, find_all
from segdistill.inference.folder import (
    MaskOptions,
    SegmentedFiles,
    check_masks_folder,
    segment_files,
)
from segdistill.inference.frame_sequences import (
    check_video_folder,
    check_video_options,
    frames_of_files,
)
from segdistill.inference.video_segmentation import segment_frames, segment_video
from segdistill.model.segmenter import Segmenter
from segdistill.processes import in_group
from segdistill.storage import is_url, open_folder, strip_file_scheme


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
    if engine != "local" or target.path is None or any(map(is_url, several)):
        return segment_by_engine(
            run,
            several,
            target,
            chosen,
            engine=engine,
            workers=workers,
            settings={"backbone": backbone, "device": device, "precision": precision},
            progress=progress,
        )
    inputs = _Inputs.from_sources(several, target.path)
    if not in_group():  # fail before the model is loaded
        inputs.check(chosen)
    segmenter = load_segmenter(run, backbone, device, precision)
    group = segmenter.compute.group
    if group.size > 1:
        group.from_first(lambda: inputs.check(chosen, distributed=True))
    done = SegmentedFiles(inputs.out)
    for video, folder in inputs.videos.items():
        done.add(segment_video(segmenter, video, folder, chosen, progress=progress))
    if inputs.files and chosen.video:
        names = output_names(inputs.files)
        sequence = frames_of_files(inputs.files, names, inputs.out, chosen, segmenter.read)
        done.add(segment_frames(segmenter, sequence, chosen, progress=progress))
    elif inputs.files:
        done.add(segment_files(segmenter, inputs.files, inputs.out, chosen, progress=progress))
    return done


@dataclass(frozen=True)
class _Inputs:
    """Images and videos to segment.

    Attributes:
        files: images.
        videos: mask folder of each video.
        out: output folder.
    """

    files: list[ImageFile]
    videos: dict[Path, Path]
    out: Path

    @classmethod
    def from_sources(cls, sources: Sequence[Source], out: Path) -> "_Inputs":
        """Find the images and videos of several sources.

        Raises:
            UserError: a source is missing or empty, or two videos have the same name.
        """
        for source in sources:
            check_exists(source)
        videos = [Path(source) for source in sources if is_video_file(source)]
        others = [source for source in sources if not is_video_file(source)]
        files = find_all(others) if others else []
        return cls(files, video_folders(videos, out, alone=not files), out)

    def check(self, options: MaskOptions, *, distributed: bool = False) -> None:
        """Check that masks can be written.

        Args:
            options: segmentation options.
            distributed: whether several processes segment the files.

        Raises:
            UserError: masks cannot be written, or the options do not apply to the inputs.
        """
        if distributed and (self.videos or options.video):
            raise UserError("--devices: not supported for videos; leave it out")
        check_video_options(options, videos=bool(self.videos))
        for video, folder in self.videos.items():
            check_video_folder(folder, video.stem, options)
        if self.files:
            check_masks_folder(self.files, self.out, options)


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
