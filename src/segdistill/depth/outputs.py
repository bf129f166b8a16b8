"""Output paths of depth maps, with checks that no user files are replaced."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.depth.maps import stored_model
from segdistill.errors import UserError
from segdistill.files import exists
from segdistill.images.depth_files import DepthDescription, EstimateKind, read_depth_file
from segdistill.images.finding import output_names
from segdistill.images.folder import ImageFile
from segdistill.layout import DEPTH_FILE


@dataclass(frozen=True)
class DepthOptions:
    """Options of depth estimation.

    Attributes:
        overwrite: replace maps of an earlier run; otherwise they are kept.
        preview: also write a colour preview of each map, in a separate folder.
        strict: stop at the first image that cannot be read.
        batch: batch size for images of equal size.

    Raises:
        UserError: the batch size is below 1.
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
    """Output files of an image.

    Attributes:
        file: the image.
        path: path of the depth map.
        preview: path of the preview, if requested.
        kept: whether the map already exists and is kept.
    """

    file: ImageFile
    path: Path
    preview: Path | None
    kept: bool


def preview_folder(folder: Path) -> Path:
    """Return the preview folder of a depth folder.

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
    """Plan the output files, before a model is loaded.

    Args:
        files: the images.
        folder: root folder of the maps.
        model: hub id or folder of the network.
        options: depth options.
        kind: kind of depth, if known before the model is loaded.

    Raises:
        UserError: the output folder is the image folder or inside it, or contains files that this
            model did not write.
    """
    previews = preview_folder(folder) if options.preview else None
    for each in filter(None, (folder, previews)):
        _check_apart(files, each)
        _check_made_by(each, model, options, kind)
    outputs = []
    for file, name in zip(files, output_names(files), strict=True):
        path = folder / name
        preview = previews / name.with_suffix(".jpg") if previews else None
        for each in filter(None, (path, preview)):
            _check_replaceable(each, model, options)
        outputs.append(DepthOutput(file, path, preview, exists(path) and not options.overwrite))
    if any(output.kept for output in outputs) and read_depth_file(folder / DEPTH_FILE) is None:
        raise UserError(
            f"{folder / DEPTH_FILE}: not found, so the kind of the existing maps is unknown; add"
            " --overwrite to replace them"
        )
    return outputs


def check_same_kind(
    folder: Path, description: DepthDescription, outputs: Iterable[DepthOutput]
) -> None:
    """Check that a folder will not contain maps of different kinds or models.

    Raises:
        UserError: maps with another description would remain.
    """
    stored = read_depth_file(folder / DEPTH_FILE)
    if stored is None or description.matches(stored):
        return
    again = {output.path for output in outputs if not output.kept}
    # Hidden files may be left over from a killed process.
    if any(path not in again for path in folder.rglob("[!.]*.png")):
        raise UserError(
            f"{folder}: contains maps by {stored.model} ({stored.kind}), and maps of"
            " different models cannot be mixed; choose another --out, or pass all of the images"
            " with --overwrite"
        )


def _check_apart(files: Iterable[ImageFile], folder: Path) -> None:
    """Check that a folder is neither an image folder nor inside one."""
    target = folder.resolve()
    above = [each for each in (target, *target.parents) if each.exists()]
    for root in {file.path.parents[len(file.name.parts) - 1] for file in files}:
        # By inode, since one folder can have several paths.
        if any(root.samefile(each) for each in above):
            raise UserError(
                f"{folder}: is inside the image folder {root}, where depth maps would be read as"
                " images; choose another --out"
            )


def _check_made_by(
    folder: Path, model: str, options: DepthOptions, kind: EstimateKind | None
) -> None:
    path = folder / DEPTH_FILE
    stored = read_depth_file(path)
    if stored is None and path.exists():
        raise UserError(f"{path}: was not written by segdistill; choose another --out")
    if stored is None or options.overwrite:
        return
    if stored.model != model or kind not in {None, stored.kind}:
        raise UserError(
            f"{folder}: contains maps by {stored.model} ({stored.kind}); add"
            " --overwrite to replace them, or choose another --out"
        )


def _check_replaceable(path: Path, model: str, options: DepthOptions) -> None:
    if not exists(path):
        return
    writer = stored_model(path)
    if writer is None:
        raise UserError(
            f"{path}: already exists and was not written by segdistill; remove it or choose another"
            " --out"
        )
    if writer != model and not options.overwrite:
        raise UserError(
            f"{path}: already written by {writer}; add --overwrite to replace it, or choose another"
            " --out"
        )
