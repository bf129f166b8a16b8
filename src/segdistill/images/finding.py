"""Finding image files by folder, file or pattern, without decoding them."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from segdistill.decoding.heif import HEIF_SUFFIXES, has_heif
from segdistill.errors import UnreadableImageError, UserError, install_command
from segdistill.files import check_regular
from segdistill.images.tree import (
    LEADS_NOWHERE,
    folders_under,
    leads_nowhere,
    matches_of,
    split_pattern,
)
from segdistill.storage import is_url, strip_file_scheme

logger = logging.getLogger("segdistill")

# fmt: off
SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm",
    ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga", ".mpo", ".heic", ".heif",
])
"""Suffixes, in lower case, of image files."""

UNREADABLE_SUFFIXES = frozenset([
    ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".dng",
])
"""Suffixes of image formats that cannot be decoded: JPEG XL and camera raw."""

VIDEO_SUFFIXES = frozenset([
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv",
    ".3gp",
])
"""Suffixes, in lower case, of videos."""

NAMED_VIDEO_SUFFIXES = frozenset([".ts", ".flv", ".ogv"])
"""The same for files given by name; in a folder, ``.ts`` is usually TypeScript."""
# fmt: on

USE_OF_VIDEOS = (
    "segment videos with `segdistill segment RUN VIDEO`, or extract the frames with"
    " `ffmpeg -i VIDEO frames/%06d.jpg`"
)


MOST_NAME_BYTES = 255
"""Longest name of a file in most file systems."""


@dataclass(frozen=True)
class ImageFile:
    """An image, and its name: the path relative to the folder that was searched.

    Outputs have the same name. With an ignore mask, pixels that are not black in it are left out.
    """

    path: Path
    name: Path
    ignore: Path | None = None


@dataclass
class Found:
    """Images (and broken links) that were found; counts of undecodable ones and of videos.

    Attributes:
        suffixes: suffixes of the files to find.
    """

    suffixes: frozenset[str] = SUFFIXES
    images: list[ImageFile] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    videos: int = 0

    def add(self, path: Path, name: Path) -> None:
        """Add a file if it is an image; else count it."""
        suffix = path.suffix.lower()
        if may_be_file(path):
            if suffix in self.suffixes and _can_decode(suffix):
                self.images.append(ImageFile(path, name))
            else:
                self.count(suffix)
        elif suffix in self.suffixes and not path.is_dir():
            # A broken link, a named pipe, a socket or a device: reading says so.
            self.images.append(ImageFile(path, name))
        elif not suffix and leads_nowhere(path):
            # It may have been a folder on a disk that is not mounted.
            self.images.append(ImageFile(path, name))

    def count(self, suffix: str) -> None:
        """Count a file that cannot be read as an image, by its suffix in lower case."""
        if suffix in UNREADABLE_SUFFIXES or not _can_decode(suffix):
            self.unreadable[suffix] += 1
        elif suffix in VIDEO_SUFFIXES:
            self.videos += 1

    def left_out(self) -> tuple[str, str]:
        """Return in words which images cannot be decoded, and how many videos there are.

        Each is empty if there are none.
        """
        unreadable, videos = "", ""
        if self.unreadable:
            total = self.unreadable.total()
            files = "1 file in a format" if total == 1 else f"{total} files in formats"
            formats = ", ".join(f"{suffix} ({n})" for suffix, n in sorted(self.unreadable.items()))
            fix = "convert to JPEG or PNG"
            if HEIF_SUFFIXES & self.unreadable.keys():
                fix += f", or for HEIC, {install_command('heif')}"
            unreadable = f"{files} that cannot be read: {formats}; {fix}"
        if self.videos:
            videos = "1 video" if self.videos == 1 else f"{self.videos} videos"
        return unreadable, videos


def find_images(
    source: str | Path, *, suffixes: frozenset[str] = SUFFIXES, kind: str = "images"
) -> list[ImageFile]:
    """List the images of a folder, a glob pattern or a single file, sorted by name.

    Hidden files and folders and segdistill's own outputs are skipped. Links to folders are
    followed, and each folder is searched once. Broken links are listed, so that they count as
    images that cannot be read. Of a folder that contains ``imgs/train`` (STEGO's layout for own
    data), the images in ``imgs/train`` are listed. A warning names image formats that cannot be
    decoded.

    Args:
        source: folder (searched with its subfolders), file or glob pattern. A path that exists is
            never a pattern, even if its name contains brackets.
        suffixes: suffixes, in lower case, of the files to find.
        kind: what the files are, for messages.

    Raises:
        UserError: the source does not exist or contains no images.
    """
    check_exists(source)
    path = Path(source)
    if path.is_file():
        if is_video(path):
            raise UserError(f"{path}: a video, not an image; {USE_OF_VIDEOS}")
        return [ImageFile(path, Path(path.name))]
    if path.is_dir():
        root = path / "imgs" / "train" if (path / "imgs" / "train").is_dir() else path
        shown, found = str(root), search_folder(root, suffixes)
        fix = (
            f"no {kind} found; give a folder that contains {kind}"
            f" ({', '.join(sorted(SUFFIXES)[:8])}, ...), directly or in subfolders"
        )
    else:
        shown, found = str(source), _search_pattern(str(source), suffixes)
        fix = f"no {kind} match the pattern; quote it and check the path"
    unreadable, videos = found.left_out()
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
    """Return whether a file given by name has a video's suffix.

    Example:
        >>> is_video(Path("clip.MP4")), is_video(Path("clip.jpg"))
        (True, False)
    """
    return path.suffix.lower() in VIDEO_SUFFIXES | NAMED_VIDEO_SUFFIXES


def find_all(sources: Sequence[str | Path]) -> list[ImageFile]:
    """List the images of several sources, each image once.

    Raises:
        UserError: a source contains no images, or two images would get the same output name.
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
    """Anything with a name in a tree of images."""

    @property
    def name(self) -> Path:
        """Path relative to the folder that was searched."""


def output_names(files: Sequence[Named]) -> list[Path]:
    """Return the relative paths of images' outputs (masks, depth maps), one per image.

    An output has its image's name with the suffix ``.png``; where that would be the name of
    another's output, as with two images that differ only in their suffixes, the full name is kept
    before it.

    Example:
        >>> files = [ImageFile(Path(n), Path(n)) for n in ("a.jpg", "b.jpg", "b.tif")]
        >>> [name.as_posix() for name in output_names(files)]
        ['a.png', 'b.jpg.png', 'b.tif.png']
    """
    names = [file.name.with_suffix(".png") for file in files]
    full = [file.name.with_name(f"{file.name.name}.png") for file in files]
    while True:
        counts = Counter(names)
        changed = [
            number for number, name in enumerate(names) if counts[name] > 1 and name != full[number]
        ]
        if not changed:
            return names
        # Of an image b.jpg.png beside b.jpg and b.tif, too.
        for number in changed:
            names[number] = full[number]


def check_output_names(image: Path, outputs: Iterable[Path]) -> None:
    """Check that file systems can hold the names of an image's outputs.

    Raises:
        UnreadableImageError: a name is too long, so that the image must be skipped.

    Example:
        >>> check_output_names(Path("a.png"), [Path("a.overlay.jpg")])
    """
    for output in outputs:
        if len(os.fsencode(output.name)) > MOST_NAME_BYTES:
            raise UnreadableImageError(
                f"{image}: the name of its output would have more than {MOST_NAME_BYTES} bytes;"
                " shorten the image's name"
            )


def check_exists(source: str | Path) -> None:
    """Check that a source is an existing file or folder, or a pattern, without searching it.

    Raises:
        UserError: it is none of these.
    """
    if source == "":
        raise UserError("the path of the images is empty; `.` is the current folder")
    if is_url(source):
        raise UserError(
            f"{source}: a URL; copy images from there first: `segdistill fetch URL FOLDER`"
        )
    try:
        if isinstance(source, str):
            source = strip_file_scheme(source)
        exists = Path(source).exists() or bool(split_pattern(str(source))[1])
    except TypeError as error:
        raise UserError(f"{source!r}: must be a path or a pattern (a string)") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{source}: cannot be accessed ({getattr(error, 'strerror', None) or error})"
        ) from error
    if leads_nowhere(Path(source)):
        raise UserError(f"{source}: {LEADS_NOWHERE}; fix it or exclude it")
    if not exists:
        raise UserError(f"{source}: no such file or folder; check the path")
    if not Path(source).is_dir():
        try:
            check_regular(Path(source))
        except OSError as error:
            raise UserError(f"{source}: {error.strerror}; give a file or a folder") from error


def source_name(source: str | Path) -> str:
    """Return a folder name for the outputs of a source.

    It is the name of the folder, of the file without its suffix, or of the folder that the pattern
    searches; ``images`` if there is none.

    Example:
        >>> [source_name(each) for each in ("tiles/**/*.tif", "photos.v2", "/")]
        ['tiles', 'photos.v2', 'images']
    """
    path = Path(source)
    if path.is_file():
        return path.stem
    root, pattern = split_pattern(str(source))
    return (root if pattern else path).resolve().name or "images"


def search_folder(root: Path, suffixes: frozenset[str] = SUFFIXES) -> Found:
    """Search a folder and its subfolders for images, in arbitrary order."""
    found = Found(suffixes)
    for folder, files in folders_under(root):
        for name in files:
            if not name.startswith("."):
                found.add(folder / name, (folder / name).relative_to(root))
    return found


def _search_pattern(source: str, suffixes: frozenset[str]) -> Found:
    root, pattern = split_pattern(source)
    # Links can lead a pattern to a folder on several paths: take the shortest.
    names: dict[Path, Path] = {}
    matches = {path.relative_to(root) for path in matches_of(root, pattern)}
    for name in sorted(matches, key=lambda each: (len(each.parts), each)):
        names.setdefault((root / name).parent.resolve() / name.name, name)
    found = Found(suffixes)
    for name in names.values():
        found.add(root / name, name)
    return found


def may_be_file(path: Path) -> bool:
    """Return whether a path is a file, or cannot be looked at, so that reading it says why."""
    try:
        return path.is_file()
    except OSError:  # no permission
        return True


def _can_decode(suffix: str) -> bool:
    # Pillow can be built without a decoder for AVIF.
    if suffix == ".avif":
        return suffix in Image.registered_extensions()
    return suffix not in HEIF_SUFFIXES or has_heif()
