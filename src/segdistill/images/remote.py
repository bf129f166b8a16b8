"""Finding images at URLs without reading them."""

import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from segdistill.errors import UserError
from segdistill.images.finding import SUFFIXES, Found
from segdistill.images.tree import OUTPUT_MARKS
from segdistill.storage import RemoteFolder

logger = logging.getLogger("segdistill")

STEGO_LAYOUT = "imgs/train/"
"""Image folder in STEGO's layout; the labels next to it are not images to segment."""


@dataclass(frozen=True)
class RemoteImage:
    """An image at a URL: the folder that was searched, and the key relative to it, as stored.

    The name is the key as a path; outputs have the same name.
    """

    folder: str
    key: str
    name: Path

    @property
    def url(self) -> str:
        """URL of the image."""
        return f"{self.folder}/{self.key}"


def find_remote_images(url: str) -> list[RemoteImage]:
    """List the images under a URL, ordered by name.

    Hidden files and segdistill's own outputs are skipped, as in local folders.

    Args:
        url: folder, image or pattern, such as ``s3://bucket/photos/**/*.jpg``.

    Raises:
        UserError: there are no images, or the URL cannot be read.
    """
    folder, pattern = RemoteFolder(url), ""
    if folder.is_file():
        place, _, key = folder.address.rpartition("/")
        return [RemoteImage(place, key, Path(key))]
    found = list(folder.names())
    if not found:
        # A name that exists literally is not a pattern, even if it contains brackets.
        root, pattern = split_url(url)
        folder = RemoteFolder(root)
        found = list(folder.names()) if pattern else []
    if not pattern and any(key.startswith(STEGO_LAYOUT) for key in found):
        folder = RemoteFolder(f"{folder.address}/{STEGO_LAYOUT}")
        found = [each.removeprefix(STEGO_LAYOUT) for each in found if each.startswith(STEGO_LAYOUT)]
    endings, passed_over = tuple(SUFFIXES), Found()
    images = []
    for key in sorted(_without_outputs(folder, found)):
        if pattern and not fits(key, pattern):
            continue
        if key.lower().endswith(endings):
            # A key may begin with a slash, which would make an absolute path.
            images.append(RemoteImage(folder.address, key, Path(key.lstrip("/"))))
        else:
            passed_over.count(Path(key).suffix.lower())
    others = ", ".join(filter(None, passed_over.left_out()))
    if not images:
        fix = "no images match the pattern" if pattern else "no images found there"
        raise UserError(f"{url}: {f'only {others}' if others else f'{fix}; check the URL'}")
    if others:
        logger.warning("%s: %s left out", url, others)
    return images


def split_url(url: str) -> tuple[str, str]:
    """Split a URL into the folder to search and the pattern; the pattern may be empty.

    Example:
        >>> split_url("s3://bucket/photos/**/*.jpg")
        ('s3://bucket/photos', '**/*.jpg')
        >>> split_url("s3://bucket/photos/")
        ('s3://bucket/photos', '')
    """
    kind, _, rest = url.partition("://")
    parts = rest.rstrip("/").split("/")
    for number, part in enumerate(parts):
        if any(sign in part for sign in "*?["):
            return f"{kind}://{'/'.join(parts[:number])}", "/".join(parts[number:])
    return f"{kind}://{'/'.join(parts)}", ""


def fits(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern, part by part; ``**`` matches any number of parts.

    Example:
        >>> fits("a/b/c.jpg", "**/*.jpg"), fits("c.jpg", "**/*.jpg"), fits("a/c.jpg", "*.jpg")
        (True, True, False)
    """
    return _parts_fit(name.split("/"), pattern.split("/"))


def _parts_fit(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:] or ["*"]
        return any(_parts_fit(parts[start:], rest) for start in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _parts_fit(parts[1:], pattern[1:])


def _without_outputs(folder: RemoteFolder, names: list[str]) -> Iterable[str]:
    """Drop hidden files and segdistill's own outputs, but never the root."""
    marks = dict(OUTPUT_MARKS)
    own = []
    for name in names:
        parent, _, last = name.rpartition("/")
        if last in marks and parent and _holds(folder, name, marks[last]):
            own.append(f"{parent}/")
    # There may be millions of names.
    for name in names:
        hidden = name.startswith(".") or "/." in name
        if not hidden and not (own and name.startswith(tuple(own))):
            yield name


def _holds(folder: RemoteFolder, name: str, text: bytes) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        folder.fetch(name, copy)
        return text in copy.read_bytes()
