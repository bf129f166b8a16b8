"""Finding and checking the images of a folder."""

import glob
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError, content_hash, decode_image
from segdistill.progress import progress_bar

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".jp2",
        ".tga",
    ]
)
"""Endings, in lower case, by which image files are recognised."""

CHECKING_THREADS = 4


@dataclass(frozen=True)
class ImageFile:
    """An image that was found.

    Attributes:
        path: where it lies.
        name: its path relative to the folder it was found through, which is mirrored in outputs.
    """

    path: Path
    name: Path


@dataclass(frozen=True)
class CheckedImage:
    """An image that was decoded in full.

    Attributes:
        file: where it lies.
        digest: fingerprint of the file's content.
        height: in pixels, upright.
        width: in pixels, upright.
    """

    file: ImageFile
    digest: str
    height: int
    width: int


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, and why."""

    file: ImageFile
    reason: str


def find_images(source: str | Path) -> list[ImageFile]:
    """List the images under a folder, of a glob pattern, or a single one.

    Hidden files and folders are passed over. A folder that holds ``imgs/train`` (STEGO's layout
    for own data) gives the images of ``imgs/train``.

    Args:
        source: a folder (searched through all its sub-folders), a file or a glob pattern.

    Returns:
        The images, sorted by name.

    Raises:
        UserError: nothing is there, or no image is among what is there.
    """
    path = Path(source)
    if path.is_file():
        return [ImageFile(path, Path(path.name))]
    if path.is_dir():
        root = path / "imgs" / "train" if (path / "imgs" / "train").is_dir() else path
        found = _images_under(root)
        if not found:
            raise UserError(
                f"{root}: no images found; give a folder that holds images"
                f" ({', '.join(sorted(SUFFIXES)[:8])}, ...), directly or in sub-folders"
            )
        return found
    if glob.has_magic(str(source)):
        return _images_of_pattern(str(source))
    raise UserError(f"{source}: no such file or folder; check the path")


def find_all(sources: Sequence[str | Path]) -> list[ImageFile]:
    """List the images of several sources, each image once.

    Raises:
        UserError: a source holds no image, or two images would get the same name.
    """
    by_path: dict[Path, ImageFile] = {}
    by_name: dict[Path, Path] = {}
    for source in sources:
        for image in find_images(source):
            absolute = image.path.absolute()
            if absolute in by_path:
                continue
            other = by_name.setdefault(image.name, image.path)
            if other != image.path:
                raise UserError(
                    f"{image.path} and {other}: both would be written as {image.name};"
                    " give the folder above them both instead"
                )
            by_path[absolute] = image
    return list(by_path.values())


def check_images(
    files: Iterable[ImageFile], *, strict: bool = False, progress: bool = False
) -> tuple[list[CheckedImage], list[SkippedImage]]:
    """Decode every image once, so that later stages meet no damaged file.

    Args:
        files: what :func:`find_images` found.
        strict: raise at the first image that cannot be read.
        progress: show a progress bar.

    Returns:
        The images that can be used and those that cannot, both in the order given.

    Raises:
        UnreadableImageError: with ``strict``, for the first damaged image.
        UserError: none of the images can be read.
    """
    files = list(files)
    checked: list[CheckedImage] = []
    skipped: list[SkippedImage] = []
    with (
        progress_bar("Checking images", len(files), shown=progress) as advance,
        ThreadPoolExecutor(CHECKING_THREADS) as pool,
    ):
        for result in pool.map(_check_image, files):
            advance(1)
            if isinstance(result, CheckedImage):
                checked.append(result)
            elif strict:
                pool.shutdown(cancel_futures=True)
                raise UnreadableImageError(
                    f"{result.reason}; mend or remove it, or leave --strict out to skip it"
                )
            else:
                skipped.append(result)
    if not checked:
        first = skipped[0].reason if skipped else "nothing was given"
        raise UserError(f"none of {len(files)} images can be read; the first: {first}")
    return checked, skipped


def _images_under(root: Path) -> list[ImageFile]:
    outputs = output_folders(root)

    def is_hidden(relative: Path) -> bool:
        return any(part.startswith(".") for part in relative.parts) or any(
            above in outputs for above in relative.parents
        )

    found = (
        ImageFile(path, path.relative_to(root))
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    return sorted((f for f in found if not is_hidden(f.name)), key=lambda f: f.name.as_posix())


def output_folders(root: Path) -> set[Path]:
    """Return the folders under a root, relative to it, that segdistill itself wrote.

    Run folders and folders of masks hold pictures, too, which are nothing to learn from. The root
    itself is never among them.
    """
    found = set()
    for name, mark in (("segmenter.json", '"segdistill"'), ("classes.json", '"colour"')):
        for path in root.rglob(name):
            if path.parent != root and mark in path.read_text(encoding="utf-8", errors="replace"):
                found.add(path.parent.relative_to(root))
    return found


def _images_of_pattern(pattern: str) -> list[ImageFile]:
    paths = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - may be absolute
    images = [p for p in paths if p.is_file() and p.suffix.lower() in SUFFIXES]
    if not images:
        raise UserError(f"{pattern}: the pattern matches no image; quote it and check the path")
    # The part before the first wildcard is the folder whose tree the outputs mirror.
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed) if fixed else Path()
    return [ImageFile(p, p.relative_to(root)) for p in images]


def _check_image(file: ImageFile) -> CheckedImage | SkippedImage:
    try:
        content = file.path.read_bytes()
        image = decode_image(content, name=str(file.path))
    except UnreadableImageError as error:
        return SkippedImage(file, str(error))
    except OSError as error:
        return SkippedImage(file, f"{file.path}: {error.strerror or error}")
    return CheckedImage(file, content_hash(content), image.shape[0], image.shape[1])
