"""Finding the depth maps of images, and the description next to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from segdistill.errors import UserError
from segdistill.files import check_regular
from segdistill.images.depth import DepthSettings
from segdistill.images.finding import Found, ImageFile
from segdistill.images.matching import match_labels
from segdistill.images.tree import folders_under, split_pattern
from segdistill.json_files import Finite, Text, read_json
from segdistill.layout import DEPTH_FILE

DEPTH_SUFFIXES = frozenset([".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr"])
"""Suffixes, in lower case, of depth maps."""

PROGRAM = "segdistill"
MARK = b'"segdistill"'
MARK_WITHIN = 10_000
"""A ``depth.json`` with the mark in its first bytes is one of segdistill."""

FIX = "estimate the depth again with --overwrite"

EstimateKind = Literal["inverse", "depth"]
"""What larger values mean: ``inverse`` nearer, ``depth`` farther."""


@dataclass(frozen=True, kw_only=True)
class DepthDescription:
    """Content of ``depth.json``.

    Attributes:
        program: ``segdistill``.
        version: version of segdistill that wrote it.
        model: hub id or folder of the network.
        licence: licence of the weights.
        kind: ``inverse`` if larger is nearer, each map scaled to 1..65535; ``depth`` if larger is
            farther.
        scale: metres per step, for ``depth``.
        invalid: value of invalid pixels.
    """

    program: str = PROGRAM
    version: Text = ""
    model: Text = ""
    licence: Text = ""
    kind: EstimateKind
    scale: Annotated[float, Meta(gt=0, le=1e300)] | None
    invalid: Finite

    def matches(self, stored: "DepthDescription") -> bool:
        """Return whether a description is equal except for the version."""
        return replace(stored, version=self.version) == self


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
    found = Found(DEPTH_SUFFIXES)
    for path, names in folders_under(folder, own=True):
        for name in names:
            if not name.startswith("."):
                found.add(path / name, (path / name).relative_to(folder))
    shown = found.images
    if not shown:
        raise UserError(
            f"{folder}: no depth maps found; they end in {', '.join(sorted(DEPTH_SUFFIXES))}"
        )
    return sorted(shown, key=lambda each: each.name.as_posix())


def match_depth(
    images: Sequence[ImageFile], maps: Sequence[ImageFile]
) -> dict[ImageFile, ImageFile]:
    """Find the depth map of each image; see :func:`~segdistill.images.matching.match_labels`."""
    return dict(match_labels(images, maps, kind="depth map"))


def settings_beside(folder: Path) -> DepthSettings | None:
    """Return the settings in a folder's ``depth.json``, or ``None`` if there is no such file.

    The file is in the folder itself or, for ``depth/train`` and the like, in its parent.

    Raises:
        UserError: the file is damaged.
    """
    for path in (folder / DEPTH_FILE, folder.parent / DEPTH_FILE):
        described = read_depth_file(path)
        if described is not None:
            return DepthSettings(
                kind=described.kind,
                scale=described.scale or 1.0,
                invalid=(float(described.invalid),),
            )
    return None


def read_depth_file(path: Path) -> DepthDescription | None:
    """Return the content of a ``depth.json`` if segdistill wrote it, else ``None``.

    Raises:
        UserError: segdistill wrote the file, but it is damaged or cannot be read.
    """
    if not path.exists():
        return None
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(MARK_WITHIN)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {FIX}") from error
    # The checksum, too, in case it is the mark that is damaged.
    if MARK not in start and b'"sha256"' not in start:
        return None
    return read_json(path, DepthDescription, what="depth maps", fix=FIX)
