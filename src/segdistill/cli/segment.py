"""``segdistill segment`` and ``segdistill features``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from segdistill.cli.arguments import Value
from segdistill.cli.options import (
    Device,
    Engine,
    Loading,
    Name,
    PathOrUrl,
    Precision,
    Run,
    Source,
    Strict,
)
from segdistill.cli.outcome import report_outcome
from segdistill.cli.parser import COMPUTE, OPTIONS
from segdistill.config.settings import Resolution
from segdistill.inference.options import MaskOptions

BITS = ("bands", "value_range", "ignore_mask")

SEGMENT_SECTIONS = {
    OPTIONS: ("out", "overlay", "scores", "resolution", "device", "overwrite", "resume"),
    "Quality of masks": ("mirror", "upsampling", "min_region", "crf"),
    "Videos": ("video", "every", "smooth"),
    "High bit depths and bands (advanced)": BITS,
    "Files and backbone (advanced)": ("strict", "backbone"),
    "Compute (advanced)": ("engine", "workers", "precision", "devices", "nodes"),
}
FEATURES_SECTIONS = {"High bit depths and bands": BITS, **COMPUTE}


def segment(
    run: Run,
    sources: Sequence[Source],
    *,
    out: PathOrUrl | None = None,
    options: MaskOptions,
    loading: Loading,
    engine: Engine,
    quiet: bool = False,
) -> int:
    """Write one mask per image, upright and of the image's size, with the same folders and names.

    Args:
        sources: folders, files (also videos), quoted glob patterns, or URLs such as
            s3://bucket/photos
        out: folder or URL for the masks, without other files (default: masks/NAME)

    Returns:
        Exit status: 1 if none of the images could be segmented.

    Example:
        segdistill segment runs/photos more_photos --overlay
    """
    import segdistill

    done = segdistill.segment(
        run,
        sources,
        out or Path("masks") / name_of(sources),
        options=options,
        **vars(engine),
        **vars(loading),
        progress=not quiet,
    )
    if status := report_outcome("segment", "Masks", done):
        return status
    print(f"Classes: {done.folder}/classes.json, with their shares of these masks")
    return 0


def features(
    sources: Sequence[Source],
    *,
    out: PathOrUrl | None = None,
    run: Annotated[str, Value("RUN")] | None = None,
    backbone: Name | None = None,
    resolution: Resolution | None = None,
    strict: Strict = False,
    overwrite: bool = False,
    resume: bool = False,
    engine: Engine,
    device: Device = "auto",
    precision: Precision = "auto",
    value_range: Annotated[str, Value("LOW,HIGH")] | None = None,
    quiet: bool = False,
) -> int:
    """Write the feature map of each image for other programs: NAME.npy and features.json.

    The maps are float16, of shape (height, width, channels). `fit` does not need them: it has its
    own feature store.

    Args:
        sources: folders, files, quoted glob patterns, or URLs such as s3://bucket/photos
        out: folder or URL for the feature maps, without other files (default: features/NAME)
        run: run folder: write the codes of its head instead (default: features of the backbone)
        backbone: backbone; `segdistill backbones` lists them (default: efficientnet-lite0, with
            --run that of the run)
        resolution: shorter side, in pixels, at which the backbone sees images (default: that of
            the backbone, with --run as in training)
        overwrite: replace existing feature maps
        resume: keep existing feature maps and write the missing ones
        value_range: values that become black and white in images of more than 8 bits, such as
            0,4095, unless the run has a range (default: chosen for each image)

    Returns:
        Exit status: 1 if none of the images could be read.

    Example:
        segdistill features photos --out features/photos
    """
    from segdistill import extract_features

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
        value_range=value_range,
        progress=not quiet,
    )
    if status := report_outcome("features", "Maps", done):
        return status
    print(f"About:   {done.folder}/features.json")
    return 0


def name_of(sources: Sequence[str]) -> str:
    """Return a folder name for the outputs of sources."""
    from segdistill.images.finding import source_name

    return source_name(sources[0]) if len(sources) == 1 else "images"
