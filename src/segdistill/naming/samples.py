"""The images in which classes are looked at."""

import logging
from collections.abc import Sequence

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile
from segdistill.images.resize import resize_image
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import upsampled_mask
from segdistill.progress import progress_bar
from segdistill.report.examples import Sample, reduced_size

logger = logging.getLogger("segdistill")

LONGEST_SIDE = 1024
"""Longer side, in pixels, to which images are reduced: a class may fill a small part of one."""


def segment_samples(
    segmenter: Segmenter, files: Sequence[ImageFile], *, progress: bool = False
) -> list[Sample]:
    """Segment images; one that cannot be read is left out with a warning.

    Args:
        segmenter: on its device.
        files: to segment.
        progress: show a progress bar.

    Raises:
        UserError: none of them can be read.
    """
    samples = []
    with progress_bar("Segmenting", len(files), shown=progress) as advance:
        for file in files:
            try:
                image = segmenter.read(file.path)
            except UnreadableImageError as error:
                logger.warning("skipped: %s", error)
            else:
                size = reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE)
                reduced = resize_image(image, size)
                mask = upsampled_mask(segmenter.grid_scores(image), reduced)
                samples.append(Sample(file, reduced, mask))
            advance(1)
    if not samples:
        raise UserError(f"none of {len(files)} images can be read; give others with --images")
    return samples
