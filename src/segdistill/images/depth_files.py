"""Finding the depth maps of images, and the description next to them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segdistill.errors import UserError
from segdistill.images.depth import DepthSettings
from segdistill.images.folder import ImageFile
from segdistill.images.labels import match_labels
from segdistill.images.tree import split_pattern
from segdistill.layout import DEPTH_FILE

DEPTH_SUFFIXES = frozenset([".png", ".tif", ".tiff", ".npy"])
"""Suffixes, in lower case, of depth maps."""

PROGRAM = "segdistill"


def depth_folder_beside(source: str | Path) -> Path:
    """Return the default depth folder of images, whether or not it exists.

    In STEGO's layout, ``root/depth/train`` for ``root/imgs/train`` or ``root`` itself; otherwise
    the folder's name followed by ``_depth``.

    Args:
        source: folder, file or glob pattern.

    Raises:
        UserError: the source is the root of the file system, which has no folder next to it.

    Example:
        >>> depth_folder_beside("world/imgs/val").as_posix(), depth_folder_beside("a/b").as_posix()
        ('world/depth/val', 'a/b_depth')
    """
    path = Path(source)
    if path.is_file():
        path = path.parent
    elif not path.exists():
        folder, pattern = split_pattern(str(source))
        path = folder if pattern else path
    if (path / "imgs" / "train").is_dir():
        return path / "depth" / "train"
    if path.name in {"", ".."}:  # "." or "..": resolved, both have a name
        path = path.resolve()
    if not path.name:
        raise UserError(f"{source}: has no folder next to it; choose a folder for the depth maps")
    if path.name == "imgs":
        return path.with_name("depth")
    above = path.absolute().parent
    if above.name == "imgs":
        return (path.parent if path.parent.name else above).with_name("depth") / path.name
    return path.with_name(f"{path.name}_depth")


def find_depth_maps(folder: Path) -> list[ImageFile]:
    """List the depth maps under a folder, sorted by name; hidden files are ignored.

    Raises:
        UserError: the folder does not exist or holds no depth maps.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of depth maps; check the path")
    found = (
        ImageFile(path, path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in DEPTH_SUFFIXES and path.is_file()
    )
    shown = [f for f in found if not any(part.startswith(".") for part in f.name.parts)]
    if not shown:
        raise UserError(
            f"{folder}: no depth maps found; they end in {', '.join(sorted(DEPTH_SUFFIXES))}"
        )
    return sorted(shown, key=lambda each: each.name.as_posix())


def match_depth(
    images: Sequence[ImageFile], maps: Sequence[ImageFile]
) -> dict[ImageFile, ImageFile]:
    """Find the depth map of each image; see :func:`~segdistill.images.labels.match_labels`."""
    return dict(match_labels(images, maps, kind="depth map"))


def settings_beside(folder: Path) -> DepthSettings | None:
    """Return the settings in a folder's ``depth.json``, or ``None`` if there is no such file.

    The file is in the folder itself or, for ``depth/train`` and the like, in its parent.

    Raises:
        UserError: the file is damaged.
    """
    for path in (folder / DEPTH_FILE, folder.parent / DEPTH_FILE):
        content = read_depth_file(path)
        if content is None:
            continue
        try:
            return DepthSettings(
                kind="inverse" if content["kind"] == "inverse" else "depth",
                scale=float(content["scale"] or 1.0),
                invalid=(float(content["invalid"]),),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged ({error!r}); estimate the depth again") from error
    return None


def read_depth_file(path: Path) -> dict[str, Any] | None:
    """Return the content of a ``depth.json`` if segdistill wrote it, else ``None``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("program") != PROGRAM:
        return None
    return content
