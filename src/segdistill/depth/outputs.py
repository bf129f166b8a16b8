"""Where estimated depth goes, and making sure that it replaces nothing of the user's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.depth.estimator import EstimateKind
from segdistill.depth.writing import DepthDescription, maker_of
from segdistill.errors import UserError
from segdistill.images.depth_files import DEPTH_FILE, read_depth_file
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile


@dataclass(frozen=True)
class DepthOptions:
    """How to write depth, and what beside it.

    Attributes:
        overwrite: make maps again that were estimated before; otherwise they are kept.
        preview: also write a picture in colours of each map, in a folder of their own.
        strict: stop at the first image that cannot be read.
        batch: images that pass the network together, if they are of one size.

    Raises:
        UserError: the batch is empty.
    """

    overwrite: bool = False
    preview: bool = False
    strict: bool = False
    batch: int = 4

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UserError(f"--batch {self.batch}: must be at least 1")


@dataclass(frozen=True)
class DepthOutput:
    """What is to be written for an image.

    Attributes:
        file: the image.
        path: of its depth map.
        preview: of its picture for display, if one is asked for.
        kept: the map exists already and stays.
    """

    file: ImageFile
    path: Path
    preview: Path | None
    kept: bool


def preview_folder(folder: Path) -> Path:
    """Return the folder for the pictures in colours of the maps of another.

    Example:
        >>> preview_folder(Path("photos_depth")).as_posix()
        'photos_depth_preview'
        >>> preview_folder(Path("world/depth/train")).as_posix()
        'world/depth_preview/train'
    """
    if folder.parent.name == "depth":
        return folder.parent.with_name("depth_preview") / folder.name
    named = folder if folder.name not in {"", ".."} else folder.resolve()
    return named.with_name(f"{named.name}_preview")


def plan_outputs(
    files: Sequence[ImageFile],
    folder: Path,
    model: str,
    options: DepthOptions,
    kind: EstimateKind | None = None,
) -> list[DepthOutput]:
    """Decide what is to be written, before a model loads.

    Args:
        files: the images.
        folder: where the tree of maps begins.
        model: hub id or folder of the network.
        options: how.
        kind: of depth, if it is known before the model loads.

    Raises:
        UserError: the folder is that of the images or lies in it, or something stands there that
            this model did not make.
    """
    previews = preview_folder(folder) if options.preview else None
    for each in (folder, previews):
        if each is not None:
            _check_apart(files, each)
            _check_made_by(each, model, options, kind)
    outputs = []
    for file, name in zip(files, picture_names(files), strict=True):
        path = folder / name
        preview = previews / name.with_suffix(".jpg") if previews else None
        for each in (path, preview):
            if each is not None:
                _check_replaceable(each, model, options)
        outputs.append(DepthOutput(file, path, preview, path.exists() and not options.overwrite))
    if any(output.kept for output in outputs) and read_depth_file(folder / DEPTH_FILE) is None:
        raise UserError(
            f"{folder / DEPTH_FILE}: missing, so that nobody can tell what the maps there mean;"
            " add --overwrite to make them again"
        )
    return outputs


def check_same_kind(
    folder: Path, description: DepthDescription, outputs: Iterable[DepthOutput]
) -> None:
    """Check that no map will stay in a folder that differs from what is to be said of them all.

    Raises:
        UserError: one would.
    """
    said = read_depth_file(folder / DEPTH_FILE)
    if said is None or description.matches(said):
        return
    again = {output.path for output in outputs if not output.kept}
    # Hidden files are no maps: a process that was killed may have left one unfinished.
    if any(path not in again for path in folder.rglob("[!.]*.png")):
        raise UserError(
            f"{folder}: holds maps of {said.get('model')} ({said.get('kind')}), and one folder"
            " holds maps of one kind; choose another --out, or give all their images and"
            " --overwrite"
        )


def _check_apart(files: Iterable[ImageFile], folder: Path) -> None:
    """Check that a folder is none of the folders of images, nor inside one."""
    target = folder.resolve()
    # By identity, since a name can be spelt in several ways.
    above = {_identity(each) for each in (target, *target.parents) if each.exists()}
    for root in {file.path.parents[len(file.name.parts) - 1] for file in files}:
        if _identity(root) in above:
            raise UserError(
                f"{folder}: lies in the folder of the images, {root}, where depth maps would be"
                " taken for images; choose another --out"
            )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _check_made_by(
    folder: Path, model: str, options: DepthOptions, kind: EstimateKind | None
) -> None:
    path = folder / DEPTH_FILE
    said = read_depth_file(path)
    if said is None and path.exists():
        raise UserError(f"{path}: not of segdistill's making; choose another --out")
    if said is None or options.overwrite:
        return
    if said.get("model") != model or kind not in {None, said.get("kind")}:
        raise UserError(
            f"{folder}: holds depth by {said.get('model')} ({said.get('kind')}); add --overwrite"
            " to replace it, or choose another --out"
        )


def _check_replaceable(path: Path, model: str, options: DepthOptions) -> None:
    if not path.exists():
        return
    maker = maker_of(path)
    if maker is None:
        raise UserError(
            f"{path}: exists and is not of segdistill's making; it is never replaced, so remove it"
            " or choose another --out"
        )
    if maker != model and not options.overwrite:
        raise UserError(
            f"{path}: is by {maker}; add --overwrite to make it again, or choose another --out"
        )
