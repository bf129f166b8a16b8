"""Copying a sample of very many images to where they can be learned from."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from segdistill.api.common import Source
from segdistill.api.engine_plan import Image, find_sources
from segdistill.engines.staging import TRANSFERS
from segdistill.errors import FullDiskError, UserError
from segdistill.files import atomic_path, remove_leftovers
from segdistill.images.remote import RemoteImage
from segdistill.progress import progress_bar
from segdistill.storage import LocalFolder, RemoteFolder, is_url

MANY = 10_000
"""Images that tell the kinds of things as well as more of them do."""


@dataclass
class FetchedImages:
    """What was copied.

    Attributes:
        folder: where to.
        found: number of images in the source.
        copied: number of images copied now.
        kept: number of images of the sample that existed already.
        failed: why others could not be copied.
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
    images: int = MANY,
    seed: int = 0,
    progress: bool = False,
) -> FetchedImages:
    """Copy a random sample of images into a folder, in their tree.

    Which images are taken depends on their names and the seed alone: the same call continues where
    one was interrupted, and a larger sample holds the smaller.

    Args:
        sources: folders, files, glob patterns or URLs.
        out: folder on this machine.
        images: how many, at most.
        seed: of the sample.
        progress: show a progress bar.

    Raises:
        UserError: nothing is found, or the folder cannot be written.
    """
    if images < 1:
        raise UserError(f"--images {images}: must be at least 1")
    if is_url(out):
        raise UserError(f"{out}: a URL; give a folder of this machine")
    found = find_sources([sources] if isinstance(sources, str | Path) else list(sources))
    # Copies of an earlier call may lie in the source itself.
    copies = Path(out).resolve()
    found = [
        image
        for image in found
        if isinstance(image, RemoteImage) or copies not in image.path.resolve().parents
    ]
    sample = sorted(found, key=lambda image: _drawn(image, seed))[:images]
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


def _drawn(image: Image, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {image.name.as_posix()}".encode(), digest_size=8).digest()
