"""How to segment files, and what to write beside the masks."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.config.validation import Range, check_ranges, typed
from segdistill.images.raster_reading import RasterReading
from segdistill.model.region_cleanup import MIN_REGION
from segdistill.model.upsampling import Upsampling

RASTER_SUFFIX = ".tif"
"""Ending of the masks of GeoTIFFs, which are GeoTIFFs, too."""

SMOOTHING = 0.7
"""Of the class scores of videos: about three frames count."""

RANGES = (
    Range("from 0 to below 1", lambda value: 0 <= value < 1, ("min_region",)),
    Range("at least 32", lambda value: value >= 32, ("resolution",)),
    Range("at least 1", lambda value: value >= 1, ("every",)),
    Range("from 0 to below 1", lambda value: 0 <= value < 1, ("smooth",)),
)


@dataclass(frozen=True)
class MaskOptions:
    """How to segment, and what to write beside the masks.

    Attributes:
        overlay: write ``NAME.overlay.jpg``, the mask's colours over the image; for GeoTIFFs
            ``NAME.overlay.tif``, for videos ``NAME.overlay.mp4``.
        scores: write ``NAME.scores.npy``, class scores of shape (height, width, classes), float16.
        mirror: average with the mirrored image: a little better, twice the time.
        upsampling: ``guided`` brings class scores from the backbone's grid to pixels along the
            edges of the image, ``bilinear`` without looking at it.
        min_region: share of the image, from 0 to below 1, that a connected region needs; smaller
            ones, such as specks and holes, join the neighbour with the longest common border. 0
            keeps all. GeoTIFFs that are read window by window keep all.
        crf: refine with the fully connected CRF instead: several times the time.
        resolution: shorter side at which the backbone sees images; by default as in training.
        bands: of GeoTIFFs, the three to be seen as red, green and blue, such as ``4,3,2``; by
            default as in training.
        video: take the images of a folder, in the order of their names, for the frames of a video.
        every: of videos, segment one frame in so many.
        smooth: of videos, the weight of earlier frames in the class scores, from 0 to below 1; 0
            judges each frame by itself. By default :data:`SMOOTHING`.
        strict: stop at the first image that cannot be read.
        overwrite: replace existing masks.
        resume: leave existing masks, and write those that are missing.
    """

    overlay: bool = False
    scores: bool = False
    mirror: bool = False
    upsampling: Upsampling = "guided"
    min_region: float = MIN_REGION
    crf: bool = False
    resolution: int | None = None
    bands: str | None = None
    video: bool = False
    every: int = 1
    smooth: float | None = None
    strict: bool = False
    overwrite: bool = False
    resume: bool = False

    @property
    def smoothing(self) -> float:
        """The weight of earlier frames in videos."""
        return SMOOTHING if self.smooth is None else self.smooth

    @property
    def in_one_piece(self) -> bool:
        """Whether even a GeoTIFF has to be held whole."""
        return self.crf or self.scores

    def validated(self) -> "MaskOptions":
        """Return the options, with every value of its type and in its range.

        Raises:
            UserError: a value is not; the message names the option and what it may be.
        """
        options = typed(self)
        check_ranges(options, RANGES)
        RasterReading.chosen(options.bands)
        return options


def files_beside(mask: Path, options: MaskOptions) -> list[Path]:
    """Return what is written beside a mask.

    Example:
        >>> [path.name for path in files_beside(Path("a.png"), MaskOptions(overlay=True))]
        ['a.overlay.jpg']
    """
    suffix = RASTER_SUFFIX if mask.suffix == RASTER_SUFFIX else ".jpg"
    suffixes = [(options.overlay, f".overlay{suffix}"), (options.scores, ".scores.npy")]
    return [mask.with_suffix(suffix) for wanted, suffix in suffixes if wanted]
