"""Segmenting images with a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.api.common import Source, changed, loaded
from segdistill.api.engine_segmenting import segment_by_engine
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.engines.running import check_engine
from segdistill.engines.work import EngineName
from segdistill.errors import UserError
from segdistill.images.finding import check_exists, is_video, picture_names
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
from segdistill.storage import is_url, open_folder, without_file


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
    """Write one mask for each image, in the same tree, under the same names.

    Of a video each frame gets a mask, in ``out`` itself or, beside other sources, in a folder of
    the video's name there.

    Args:
        run: a run folder, or a model.
        sources: folders, files (videos, too) or glob patterns; of images also URLs, such as
            ``s3://bucket/photos``, with the drivers of fsspec.
        out: folder in which to write the masks, or a URL.
        options: how, and what to write beside the masks.
        backbone: where the backbone of a run folder lies now, if it has moved.
        device: where to compute, for a run folder.
        precision: of matrix products, for a run folder.
        engine: ``ray`` lets workers of Ray do it, here or on a cluster, each with a model of its
            own; run and local folders must then be where all of them see them.
        workers: of Ray; by default one for each GPU, or for each core.
        progress: show a progress bar.
        **changes: single options that differ from ``options``, such as ``overlay=True``.

    Returns:
        What was written and what was skipped.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    chosen = changed(options, changes, MaskOptions).validated()
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    several = [without_file(each) if isinstance(each, str) else each for each in given]
    place = open_folder(out)
    check_engine(engine, workers, [*several, out])
    if engine != "local" or place.path is None or any(map(is_url, several)):
        return segment_by_engine(
            run,
            several,
            place,
            chosen,
            engine=engine,
            workers=workers,
            settings={"backbone": backbone, "device": device, "precision": precision},
            progress=progress,
        )
    work = _Work.sorted_out(several, place.path)
    if not in_group():  # before a model loads
        work.check(chosen)
    segmenter = loaded(run, backbone, device, precision)
    group = segmenter.compute.group
    if group.size > 1:
        group.from_first(lambda: work.check(chosen, distributed=True))
    done = SegmentedFiles(work.out)
    for video, folder in work.videos.items():
        done.add(segment_video(segmenter, video, folder, chosen, progress=progress))
    if work.files and chosen.video:
        names = picture_names(work.files)
        sequence = frames_of_files(work.files, names, work.out, chosen, segmenter.read)
        done.add(segment_frames(segmenter, sequence, chosen, progress=progress))
    elif work.files:
        done.add(segment_files(segmenter, work.files, work.out, chosen, progress=progress))
    return done


@dataclass(frozen=True)
class _Work:
    """What is to be segmented.

    Attributes:
        files: images.
        videos: each with the folder for its masks.
        out: where everything goes.
    """

    files: list[ImageFile]
    videos: dict[Path, Path]
    out: Path

    @classmethod
    def sorted_out(cls, sources: Sequence[Source], out: Path) -> "_Work":
        """Look for what sources hold.

        Raises:
            UserError: a source is not there or holds nothing, or two videos have one name.
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
            options: how.
            distributed: several processes do it.

        Raises:
            UserError: they cannot, or the options do not fit what there is.
        """
        if distributed and (self.videos or options.video):
            raise UserError("--devices: the frames of a video follow each other; leave it out")
        check_video_options(options, videos=bool(self.videos))
        for video, folder in self.videos.items():
            check_video_folder(folder, video.stem, options)
        if self.files:
            check_masks_folder(self.files, self.out, options)


def is_video_file(source: Source) -> bool:
    """Return whether a source is a video, rather than a folder or a pattern."""
    return is_video(Path(source)) and Path(source).is_file()


def video_folders(videos: Sequence[Path], out: Path, *, alone: bool) -> dict[Path, Path]:
    """Return where the masks of each video go.

    Args:
        videos: to be segmented.
        out: where everything goes.
        alone: whether nothing else is segmented.

    Raises:
        UserError: two would go to one place.

    Example:
        >>> video_folders([Path("a.mp4"), Path("b.mp4")], Path("masks"), alone=True)[Path("b.mp4")]
        PosixPath('masks/b')
    """
    if alone and len(videos) == 1:
        return {videos[0]: out}
    folders = {video: out / video.stem for video in videos}
    if len(set(folders.values())) < len(videos):
        raise UserError(f"{', '.join(map(str, videos))}: two have one name; segment them in turn")
    return folders
