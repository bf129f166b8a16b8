"""Finding image files by folder, file or pattern, without decoding any."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from segdistill.errors import UserError
from segdistill.images.tree import (
    LEADS_NOWHERE,
    folders_under,
    leads_nowhere,
    matches_of,
    split_pattern,
)
from segdistill.storage import is_url, without_file

__all__ = [
    "SUFFIXES",
    "Found",
    "ImageFile",
    "check_exists",
    "find_all",
    "find_images",
    "search_folder",
    "source_name",
    "split_pattern",
]

logger = logging.getLogger("segdistill")

# fmt: off
SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga",
])
"""Endings, in lower case, by which image files are recognised."""

UNREADABLE_SUFFIXES = frozenset([
    ".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".dng",
])
"""Endings of images of kinds that cannot be decoded here: phones' HEIF and cameras' raw files."""

VIDEO_SUFFIXES = frozenset([
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv",
    ".3gp",
])
"""Endings, in lower case, by which videos are recognised."""

NAMED_VIDEO_SUFFIXES = frozenset([".ts", ".flv", ".ogv"])
"""The same for files that are named one by one; in a folder ``.ts`` is more often a program."""
# fmt: on

USE_OF_VIDEOS = (
    "`segdistill segment RUN VIDEO` takes a video; else give its frames, as"
    " `ffmpeg -i VIDEO frames/%06d.jpg` writes them"
)

# Pillow can be built without the decoder of these.
OPTIONAL_SUFFIXES = frozenset([".avif"])


@dataclass(frozen=True)
class ImageFile:
    """An image that was found.

    Attributes:
        path: where it lies.
        name: its path relative to the folder it was found through, which is mirrored in outputs.
    """

    path: Path
    name: Path


@dataclass
class Found:
    """What a search came upon.

    Attributes:
        images: files that bear an image's ending, and links that lead nowhere.
        unreadable: number of images of each kind that cannot be decoded, by ending.
        videos: number of videos.
    """

    images: list[ImageFile] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    videos: int = 0

    def add(self, path: Path, name: Path) -> None:
        """Take note of a file, if it is an image."""
        suffix = path.suffix.lower()
        if _may_be_file(path):
            if suffix in SUFFIXES and _can_decode(suffix):
                self.images.append(ImageFile(path, name))
            else:
                self.count(suffix)
        elif leads_nowhere(path) and suffix in SUFFIXES | {""}:
            # Without an ending it was perhaps a folder, of a disk that is not there now.
            self.images.append(ImageFile(path, name))

    def count(self, suffix: str) -> None:
        """Take note of a file that is no image to be read, by its ending in lower case."""
        if suffix in UNREADABLE_SUFFIXES or not _can_decode(suffix):
            self.unreadable[suffix] += 1
        elif suffix in VIDEO_SUFFIXES:
            self.videos += 1

    def videos_text(self) -> str:
        """Return in words how many videos there are; empty if there is none."""
        if not self.videos:
            return ""
        return "1 video" if self.videos == 1 else f"{self.videos} videos"

    def unreadable_text(self) -> str:
        """Return in words what cannot be decoded, and the fix; empty if all can."""
        if not self.unreadable:
            return ""
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(self.unreadable.items()))
        total = self.unreadable.total()
        files = "1 file of a kind" if total == 1 else f"{total} files of kinds"
        return f"{files} that cannot be read: {kinds}; convert to JPEG or PNG"


def find_images(source: str | Path) -> list[ImageFile]:
    """List the images under a folder, of a glob pattern, or a single one.

    Hidden files and folders, and what segdistill itself wrote, are passed over. Links to folders
    are followed, each folder being searched once; links that lead nowhere are listed, so that they
    are counted among the images that cannot be read. A folder that holds ``imgs/train`` (STEGO's
    layout for own data) gives the images of ``imgs/train``. Images of kinds that cannot be decoded
    are named in a warning.

    Args:
        source: a folder (searched through all its sub-folders), a file or a glob pattern. What
            exists is taken as it is, whatever brackets are in its name.

    Returns:
        The images, sorted by name.

    Raises:
        UserError: nothing is there, or no image is among what is there.
    """
    check_exists(source)
    path = Path(source)
    if path.is_file():
        if is_video(path):
            raise UserError(f"{path}: a video, not an image; {USE_OF_VIDEOS}")
        return [ImageFile(path, Path(path.name))]
    if path.is_dir():
        root = path / "imgs" / "train" if (path / "imgs" / "train").is_dir() else path
        shown, found = str(root), search_folder(root)
        fix = (
            f"no images found; give a folder that holds images"
            f" ({', '.join(sorted(SUFFIXES)[:8])}, ...), directly or in sub-folders"
        )
    else:
        shown, found = str(source), _search_pattern(str(source))
        fix = "the pattern matches no image; quote it and check the path"
    unreadable, videos = found.unreadable_text(), found.videos_text()
    if not found.images:
        if unreadable or not videos:
            raise UserError(f"{shown}: {f'only {unreadable}' if unreadable else fix}")
        raise UserError(f"{shown}: only {videos}; {USE_OF_VIDEOS}")
    if unreadable:
        logger.warning("%s: %s", shown, unreadable)
    if videos:
        logger.warning("%s: %s left out; %s", shown, videos, USE_OF_VIDEOS)
    return sorted(found.images, key=lambda image: image.name.as_posix())


def is_video(path: Path) -> bool:
    """Return whether a file that is named by itself bears a video's ending.

    Example:
        >>> is_video(Path("clip.MP4")), is_video(Path("clip.jpg"))
        (True, False)
    """
    return path.suffix.lower() in VIDEO_SUFFIXES | NAMED_VIDEO_SUFFIXES


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


class Named(Protocol):
    """What has a name in a tree of images."""

    @property
    def name(self) -> Path:
        """Its path relative to the folder it was found through."""


def picture_names(files: Sequence[Named]) -> list[Path]:
    """Return relative paths for the pictures made of images, one each: masks, depth maps.

    A picture bears its image's name with the ending ``.png``; where two images of a folder differ
    only in their endings, the whole names are kept before it.

    Example:
        >>> files = [ImageFile(Path(n), Path(n)) for n in ("a.jpg", "b.jpg", "b.tif")]
        >>> [name.as_posix() for name in picture_names(files)]
        ['a.png', 'b.jpg.png', 'b.tif.png']
    """
    stems = Counter(file.name.with_suffix("") for file in files)
    return [
        file.name.with_suffix(".png")
        if stems[file.name.with_suffix("")] == 1
        else file.name.with_name(f"{file.name.name}.png")
        for file in files
    ]


def check_exists(source: str | Path) -> None:
    """Check that a source is a file, a folder or a pattern, without looking into it.

    Raises:
        UserError: it is none of these.

    Example:
        >>> check_exists("nowhere")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: nowhere: no such file or folder; check the path
    """
    if is_url(source):
        raise UserError(
            f"{source}: a URL; copy images from there first: `segdistill fetch URL FOLDER`"
        )
    try:
        if isinstance(source, str):
            source = without_file(source)
        exists = Path(source).exists() or bool(split_pattern(str(source))[1])
    except TypeError as error:
        raise UserError(f"{source!r}: must be a path or a pattern, as text") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be looked up ({error})") from error
    if leads_nowhere(Path(source)):
        raise UserError(f"{source}: {LEADS_NOWHERE}; fix it or leave it out")
    if not exists:
        raise UserError(f"{source}: no such file or folder; check the path")


def source_name(source: str | Path) -> str:
    """Return a name for what is made of a source, fit for a folder.

    Args:
        source: a folder, a file or a glob pattern.

    Returns:
        The folder's name, the file's without its ending, or that of the folder in which the
        pattern is looked for; ``images`` where there is none.

    Example:
        >>> [source_name(each) for each in ("tiles/**/*.tif", "photos.v2", "/")]
        ['tiles', 'photos.v2', 'images']
    """
    path = Path(source)
    if path.is_file():
        return path.stem
    root, pattern = split_pattern(str(source))
    return (root if pattern else path).resolve().name or "images"


def search_folder(root: Path) -> Found:
    """Search a folder and its sub-folders for images, in no certain order."""
    found = Found()
    for folder, files in folders_under(root):
        for name in files:
            if not name.startswith("."):
                found.add(folder / name, (folder / name).relative_to(root))
    return found


def _search_pattern(source: str) -> Found:
    root, pattern = split_pattern(source)
    # A pattern may come to a folder by several ways, through links: the shortest counts.
    names: dict[Path, Path] = {}
    matches = {path.relative_to(root) for path in matches_of(root, pattern)}
    for name in sorted(matches, key=lambda each: (len(each.parts), each)):
        names.setdefault((root / name).parent.resolve() / name.name, name)
    found = Found()
    for name in names.values():
        found.add(root / name, name)
    return found


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # Not allowed to look: reading it will fail, too, and be counted.
        return True


def _can_decode(suffix: str) -> bool:
    return suffix not in OPTIONAL_SUFFIXES or suffix in Image.registered_extensions()
