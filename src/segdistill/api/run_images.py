"""Default images of a command: those that the run was fitted on."""

import logging
from collections.abc import Sequence
from pathlib import Path

from segdistill.api.common import Source, image_files
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.training.run_folder import RunFolder, files_from_facts

logger = logging.getLogger("segdistill")


def images_or_run_images(
    run: Source, images: Source | Sequence[Source] | Sequence[ImageFile] | None
) -> list[ImageFile]:
    """Return the given images, or else those that a run was fitted on.

    Args:
        run: a run folder.
        images: one or more sources, or image files; ``None`` for the images of the run.

    Raises:
        UserError: no images found, or the run does not record the paths of its images.
    """
    if images is not None:
        return image_files(images)
    recorded = files_from_facts(RunFolder(Path(run)).read_facts())
    if not recorded:
        raise UserError(f"{run}: does not record the paths of its images; add --images")
    existing = [file for file in recorded if file.path.is_file()]
    if not existing:
        raise UserError(
            f"{recorded[0].path}: not found, nor any other image {run} was fitted on; add --images"
        )
    if len(existing) < len(recorded):
        missing = len(recorded) - len(existing)
        logger.warning("%d of %d images of %s not found", missing, len(recorded), run)
    return existing
