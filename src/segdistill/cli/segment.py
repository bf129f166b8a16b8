"""``segdistill segment`` and ``segdistill features``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from segdistill.cli.arguments import Value
from segdistill.cli.options import (
    Device,
    Engine,
    Loading,
    Mirror,
    Name,
    PathOrUrl,
    Precision,
    Resolution,
    Run,
    Share,
    Source,
    Strict,
    Upsampling,
)
from segdistill.cli.outcome import report_outcome
from segdistill.cli.parser import COMPUTE
from segdistill.images.finding import source_name

SECTIONS = {"GeoTIFFs and videos": ("bands", "video", "every", "smooth"), **COMPUTE}


@dataclass(frozen=True)
class Masks:
    """How masks are made; as :class:`segdistill.MaskOptions`, which imports torch.

    Attributes:
        overlay: also write NAME.overlay.jpg: the classes' colours over the image (GeoTIFFs: .tif,
            videos: .mp4)
        scores: also write NAME.scores.npy: similarity with each class, float16
        min_region: smallest region kept, as a share of the image's area: smaller specks and holes
            join the neighbour they border on most; 0 keeps all (large GeoTIFFs always keep all)
        crf: refine with the fully connected CRF instead: several times the time
        overwrite: replace existing masks
        resume: keep existing masks and write the missing ones
        bands: bands of GeoTIFFs to use as red, green and blue, as in 4,3,2 (default: as in
            training, else those that the files label so)
        video: treat the images, in the order of their names, as frames of a video
        every: segment only every N-th frame of videos
        smooth: weight of earlier frames of a video, which makes labels steady: from 0 (none) to
            below 1 (default: 0.7)
    """

    overlay: bool = False
    scores: bool = False
    mirror: Mirror = False
    upsampling: Upsampling = "guided"
    min_region: Share = 0.00005
    crf: bool = False
    resolution: Resolution | None = None
    overwrite: bool = False
    resume: bool = False
    strict: Strict = False
    bands: str | None = None
    video: bool = False
    every: int = 1
    smooth: float | None = None


def segment(
    run: Run,
    sources: Sequence[Source],
    *,
    out: PathOrUrl | None = None,
    masks: Masks,
    loading: Loading,
    engine: Engine,
    quiet: bool = False,
) -> int:
    """Write one mask per image: same folder tree, same names, the image's own size, upright.

    Args:
        sources: folders, files (also videos), quoted glob patterns, or URLs such as
            s3://bucket/photos
        out: folder or URL for the masks (default: masks/NAME)

    Returns:
        Exit status: 1 if none of the images could be segmented.

    Example:
        segdistill segment runs/photos more_photos --overlay
    """
    from segdistill import api
    from segdistill.inference.options import MaskOptions

    done = api.segment(
        run,
        sources,
        out or Path("masks") / name_of(sources),
        options=MaskOptions(**vars(masks)),
        **vars(engine),
        **vars(loading),
        progress=not quiet,
    )
    if status := report_outcome("segment", "Masks", done):
        return status
    print(f"Classes: {done.folder}/classes.json")
    return 0


def features(
    sources: Sequence[Source],
    *,
    out: PathOrUrl | None = None,
    run: Annotated[str, Value("RUN")] | None = None,
    backbone: Name | None = None,
    resolution: int | None = None,
    strict: Strict = False,
    overwrite: bool = False,
    resume: bool = False,
    engine: Engine,
    device: Device = "auto",
    precision: Precision = "auto",
    quiet: bool = False,
) -> int:
    """Write the feature map of each image for other programs.

    These are NAME.npy, float16, of shape (height, width, channels), and features.json. `fit` does
    not need them: it has its own feature store.

    Args:
        sources: folders, files, quoted glob patterns, or URLs such as s3://bucket/photos
        out: folder or URL for the feature maps (default: features/NAME)
        run: run folder: write the codes of its head instead (default: features of the backbone)
        backbone: backbone; `segdistill backbones` lists them (default: efficientnet-lite0, with
            --run that of the run)
        resolution: shorter side, in pixels, at which the backbone sees images (default: that of
            the backbone, with --run as in training)
        overwrite: replace existing feature maps
        resume: keep existing feature maps and write the missing ones

    Returns:
        Exit status: 1 if none of the images could be read.

    Example:
        segdistill features photos --out features/photos
    """
    from segdistill.api import extract_features

    done = extract_features(
        sources,
        out or f"features/{name_of(sources)}",
        run=run,
        backbone=backbone,
        resolution=resolution,
        strict=strict,
        overwrite=overwrite,
        resume=resume,
        **vars(engine),
        device=device,
        precision=precision,
        progress=not quiet,
    )
    if status := report_outcome("features", "Maps", done):
        return status
    print(f"About:   {done.folder}/features.json")
    return 0


def name_of(sources: Sequence[str]) -> str:
    """Return a folder name for the outputs of sources."""
    return source_name(sources[0]) if len(sources) == 1 else "images"
