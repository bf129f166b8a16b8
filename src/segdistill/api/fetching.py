"""Copying a random sample of images to a local folder for training."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from segdistill.api.common import Source
from segdistill.engines.staging import TRANSFERS
from segdistill.engines.work import Image
from segdistill.errors import FullDiskError, UserError
from segdistill.files import atomic_path, remove_leftovers
from segdistill.images.remote import RemoteImage
from segdistill.inference.plan import find_sources
from segdistill.progress import progress_bar
from segdistill.storage import LocalFolder, RemoteFolder, is_url

DEFAULT_SAMPLE_SIZE = 10_000
"""Default sample size; more images do not improve the classes found."""


@dataclass
class FetchedImages:
    """Result of :func:`fetch_images`.

    Attributes:
        folder: target folder.
        found: number of images in the sources.
        copied: number of images copied.
        kept: number of sampled images that already existed.
        failed: error messages of images that could not be copied.
    """

    folder: Path
    found: int
    copied: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def fetch_images(
    sources: Source | Sequence[Source],
    out: Source,
    *,
    images: int = DEFAULT_SAMPLE_SIZE,
    seed: int = 0,
    progress: bool = False,
) -> FetchedImages:
    """Copy a random sample of images to a folder, keeping their folder tree.

    The sample depends only on the image names and the seed: repeating an interrupted call resumes
    it, and a larger sample contains every smaller one.

    Args:
        sources: folders, files, glob patterns or URLs.
        out: local folder.
        images: maximum number of images.
        seed: random seed of the sample.
        progress: show a progress bar.

    Raises:
        UserError: no images are found, or the folder cannot be written.
    """
    if images < 1:
        raise UserError(f"--images {images}: must be at least 1")
    if is_url(out):
        raise UserError(f"{out}: a URL; give a local folder")
    found = find_sources([sources] if isinstance(sources, str | Path) else list(sources))
    # The target folder may be inside the source; skip earlier copies.
    copies = Path(out).resolve()
    found = [
        image
        for image in found
        if isinstance(image, RemoteImage) or copies not in image.path.resolve().parents
    ]
    sample = sorted(found, key=lambda image: _sample_key(image, seed))[:images]
    done = FetchedImages(Path(out), len(found))
    missing = [image for image in sample if not (done.folder / image.name).exists()]
    done.kept = len(sample) - len(missing)

    for folder in {(done.folder / image.name).parent for image in sample}:
        remove_leftovers(folder)

    def copy(image: Image) -> str | None:
        try:
            with atomic_path(done.folder / image.name) as temporary:
                if isinstance(image, RemoteImage):
                    RemoteFolder(image.folder).fetch(image.key, temporary)
                else:
                    LocalFolder(image.path.parent).fetch(image.path.name, temporary)
        except FullDiskError:
            raise
        except UserError as error:
            return str(error)
        return None

    with (
        progress_bar("Copying images", len(missing), shown=progress) as advance,
        ThreadPoolExecutor(TRANSFERS) as pool,
    ):
        for failure in pool.map(copy, missing):
            if failure is None:
                done.copied += 1
            else:
                done.failed.append(failure)
            advance(1)
    return done


def _sample_key(image: Image, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {image.name.as_posix()}".encode(), digest_size=8).digest()
