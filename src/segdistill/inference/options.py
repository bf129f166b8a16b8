"""Segmentation options, and names of output files."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.config.settings import MIN_REGION, Count, Resolution, ShareBelowOne, UpsamplingName
from segdistill.config.validation import typed
from segdistill.decoding.image_reading import ImageReading

RASTER_SUFFIX = ".tif"
"""Suffix of the masks of GeoTIFFs, which are GeoTIFFs as well."""

OVERLAY = ".overlay"
"""What the names of overlays have between the name of the image and their suffix."""

SMOOTHING = 0.7
"""Default smoothing of the class scores of videos; averages about three frames."""


@dataclass(frozen=True)
class MaskOptions:
    """Options for segmenting files.

    The descriptions are those of the command line.

    Attributes:
        overlay: also write NAME.overlay.jpg: the classes' colours over the image (GeoTIFFs: .tif,
            videos: .mp4).
        scores: also write NAME.scores.npy: similarity with each class, float16.
        mirror: average with the mirrored image: more accurate, but takes twice as long.
        upsampling: how scores are upsampled to pixels: guided follows the image's edges.
        min_region: smallest region kept, as a share of the image's area: smaller specks and holes
            join the neighbour they border on most; 0 keeps all (large GeoTIFFs always keep all).
        crf: refine with the fully connected CRF instead: several times slower.
        resolution: shorter side, in pixels, at which the backbone sees images (default: as in
            training).
        bands: bands of GeoTIFFs to use as red, green and blue, as in 4,3,2 (default: as in
            training, otherwise those that the files label as such).
        value_range: values that become black and white in images of more than 8 bits, as in
            -1024,3071, for runs without a range of their own (default: chosen for each image).
        ignore_mask: folder of images with the images' names; pixels that are not black in them get
            no class (value 255 in masks; default: only those without a value).
        video: treat the images, in the order of their names, as frames of a video.
        every: segment only every N-th frame of videos.
        smooth: weight of earlier frames of a video, which makes labels steadier: from 0 (none) to
            below 1 (default: 0.7).
        strict: stop at the first image that cannot be read.
        overwrite: replace existing masks.
        resume: keep existing masks and write the missing ones.
    """

    overlay: bool = False
    scores: bool = False
    mirror: bool = False
    upsampling: UpsamplingName = "guided"
    min_region: ShareBelowOne = MIN_REGION
    crf: bool = False
    resolution: Resolution | None = None
    bands: str | None = None
    value_range: str | None = None
    ignore_mask: Path | None = None
    video: bool = False
    every: Count = 1
    smooth: ShareBelowOne | None = None
    strict: bool = False
    overwrite: bool = False
    resume: bool = False

    @property
    def smoothing(self) -> float:
        """Weight of earlier frames in videos."""
        return SMOOTHING if self.smooth is None else self.smooth

    @property
    def needs_whole_raster(self) -> bool:
        """Whether GeoTIFFs have to be read as a whole."""
        return self.crf or self.scores

    def validated(self) -> "MaskOptions":
        """Return the options with types and ranges validated.

        Raises:
            UserError: a value is invalid; the message names the option and the valid range.
        """
        options = typed(self)
        ImageReading.chosen(options.bands, options.value_range)
        return options


def sidecar_files(mask: Path, options: MaskOptions) -> list[Path]:
    """Return the files that accompany a mask.

    Example:
        >>> [path.name for path in sidecar_files(Path("a.png"), MaskOptions(overlay=True))]
        ['a.overlay.jpg']
    """
    suffix = RASTER_SUFFIX if mask.suffix == RASTER_SUFFIX else ".jpg"
    suffixes = [(options.overlay, f"{OVERLAY}{suffix}"), (options.scores, ".scores.npy")]
    return [mask.with_suffix(suffix) for wanted, suffix in suffixes if wanted]
