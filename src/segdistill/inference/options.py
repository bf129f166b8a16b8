"""Segmentation options, and names of output files."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.config.settings import Count, Resolution, ShareBelowOne
from segdistill.config.validation import typed
from segdistill.images.raster_reading import RasterReading
from segdistill.model.region_cleanup import MIN_REGION
from segdistill.model.upsampling import Upsampling

RASTER_SUFFIX = ".tif"
"""Suffix of the masks of GeoTIFFs, which are GeoTIFFs as well."""

SMOOTHING = 0.7
"""Default smoothing of the class scores of videos; averages about three frames."""


@dataclass(frozen=True)
class MaskOptions:
    """Options for segmenting files.

    Attributes:
        overlay: also write ``NAME.overlay.jpg``, the image blended with the mask's colours; for
            GeoTIFFs ``NAME.overlay.tif``, for videos ``NAME.overlay.mp4``.
        scores: also write ``NAME.scores.npy``, float16 class scores of shape (height, width,
            classes).
        mirror: average with the mirrored image: slightly better, at twice the time.
        upsampling: upsampling of class scores to pixels: ``guided`` by the edges of the image, or
            ``bilinear``.
        min_region: minimum share of the image that a connected region covers, from 0 to below 1;
            smaller regions join the neighbour with the longest common border. 0 keeps all regions.
            Not applied to GeoTIFFs that are read in windows.
        crf: refine with the fully connected CRF instead, which takes several times as long.
        resolution: shorter side of the backbone's input; by default as in training.
        bands: for GeoTIFFs: the bands to use as red, green and blue, such as ``4,3,2``; by default
            as in training.
        video: treat the images of a folder, ordered by name, as the frames of a video.
        every: for videos: segment every n-th frame.
        smooth: for videos: weight of earlier frames in the class scores, from 0 to below 1; 0
            segments each frame independently. By default :data:`SMOOTHING`.
        strict: stop at the first image that cannot be read.
        overwrite: replace existing masks.
        resume: keep existing masks and write the missing ones.
    """

    overlay: bool = False
    scores: bool = False
    mirror: bool = False
    upsampling: Upsampling = "guided"
    min_region: ShareBelowOne = MIN_REGION
    crf: bool = False
    resolution: Resolution | None = None
    bands: str | None = None
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
        RasterReading.chosen(options.bands)
        return options


def sidecar_files(mask: Path, options: MaskOptions) -> list[Path]:
    """Return the files that accompany a mask.

    Example:
        >>> [path.name for path in sidecar_files(Path("a.png"), MaskOptions(overlay=True))]
        ['a.overlay.jpg']
    """
    suffix = RASTER_SUFFIX if mask.suffix == RASTER_SUFFIX else ".jpg"
    suffixes = [(options.overlay, f".overlay{suffix}"), (options.scores, ".scores.npy")]
    return [mask.with_suffix(suffix) for wanted, suffix in suffixes if wanted]
