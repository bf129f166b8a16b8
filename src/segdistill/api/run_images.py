"""The images that something is shown on: those given, or those that a run was fitted on."""

import logging
from collections.abc import Sequence
from pathlib import Path

from segdistill.api.common import Source, image_files
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.training.run_folder import RunFolder
from segdistill.training.used_images import files_from

logger = logging.getLogger("segdistill")


def images_or_those_of_run(
    run: Source, images: Source | Sequence[Source] | Sequence[ImageFile] | None
) -> list[ImageFile]:
    """Return the images given, or else those that a run was fitted on.

    Args:
        run: a run folder.
        images: a source, several, or image files; ``None`` for the run's own.

    Raises:
        UserError: no image is there, or the run does not tell where its images lie.
    """
    if images is not None:
        return image_files(images)
    noted = files_from(RunFolder(Path(run)).read_facts())
    if not noted:
        raise UserError(f"{run}: does not tell where its images lie; give --images")
    there = [file for file in noted if file.path.is_file()]
    if not there:
        raise UserError(
            f"{noted[0].path}: gone, as are all images that {run} was fitted on; give --images"
        )
    if len(there) < len(noted):
        gone = len(noted) - len(there)
        logger.warning("%d of %d images of %s are gone", gone, len(noted), run)
    return there
