"""Reading and writing a Segmenter: ``segmenter.safetensors`` and ``segmenter.json``, no pickle."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from segdistill.backbones import KEYS, Backbone, load_backbone
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.labels import Colour
from segdistill.images.raster_reading import RasterReading
from segdistill.model.code_maps import CodeMaps
from segdistill.model.description import SegmentClass, SegmenterSettings, check_members
from segdistill.model.head import SegmentationHead
from segdistill.model.levels import Levels
from segdistill.model.prototypes import Prototypes
from segdistill.version import __version__

WEIGHTS_FILE = "segmenter.safetensors"
DESCRIPTION_FILE = "segmenter.json"
CENTRES = "centres"
PROTOTYPES = "prototypes."
CODE_MAPS = "code_maps."
LEVELS = "levels"
FORMAT = 1
FIX = "restore it from a copy, or fit again"


@dataclass(frozen=True)
class SegmenterParts:
    """All that a Segmenter is made of.

    Attributes:
        backbone: frozen; only its name and fingerprint are written, the name relative to the
            run folder if the backbone lies inside.
        preparation: of the backbone's features.
        head: or ``None``.
        centres: of the clusters, shape (classes, code channels).
        settings: resolution and classes.
        prototypes: from which other numbers of classes can be made, or ``None``.
        levels: how the clusters are grouped into few, some or many classes, or ``None``.
        code_maps: prototypes in some of the training images, or ``None``.
    """

    backbone: Backbone
    preparation: FeaturePreparation
    head: SegmentationHead | None
    centres: torch.Tensor
    settings: SegmenterSettings
    prototypes: Prototypes | None = None
    levels: Levels | None = None
    code_maps: CodeMaps | None = None


def write_parts(parts: SegmenterParts, folder: Path, *, overwrite: bool = False) -> None:
    """Write the parts of a Segmenter; see :meth:`Segmenter.save`."""
    description_path = folder / DESCRIPTION_FILE
    if description_path.exists() and not overwrite:
        raise UserError(f"{folder}: holds a model already; choose another folder or overwrite it")
    tensors = {CENTRES: parts.centres}
    for name, module in (("preparation", parts.preparation), ("head", parts.head)):
        if module is not None:
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for prefix, kept in ((PROTOTYPES, parts.prototypes), (CODE_MAPS, parts.code_maps)):
        if kept is not None:
            tensors |= {f"{prefix}{key}": value for key, value in vars(kept).items()}
    write_tensors(tensors, folder)
    # Written last: a folder with a description is a complete model.
    write_text_atomically(description_path, json.dumps(describe(parts, folder), indent=2) + "\n")


def write_tensors(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write ``segmenter.safetensors``.

    Raises:
        UserError: the folder cannot be written.
    """
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        # As bytes: a full disk then is an OSError, which safetensors' own writing hides.
        temporary.write_bytes(save(plain))


def describe(parts: SegmenterParts, folder: Path) -> dict[str, Any]:
    """Return all that a Segmenter is, except for its weights, as plain values.

    Args:
        parts: of the Segmenter.
        folder: that it is written to.
    """
    head = parts.head
    return {
        "format": FORMAT,
        "segdistill": __version__,
        "backbone": {
            "name": _name_from(folder, parts.backbone.name),
            "fingerprint": parts.backbone.fingerprint,
            "licence": parts.backbone.licence,
        },
        "resolution": parts.settings.resolution,
        "preparation": {
            "groups": list(parts.preparation.groups),
            "components": parts.preparation.components,
        },
        "head": None
        if head is None
        else {
            "features": head.linear.in_features,
            "channels": head.linear.out_features,
            "kind": "linear" if head.nonlinear is None else "nonlinear",
            "dropout": head.dropout,
        },
        "classes": [asdict(each) for each in parts.settings.classes],
        LEVELS: {} if parts.levels is None else {CENTRES: parts.levels.as_plain()},
        "training": parts.settings.training,
        "raster": None if parts.settings.raster is None else parts.settings.raster.as_plain(),
        "scale": parts.settings.scale,
    }


def read_description(folder: Path) -> dict[str, Any]:
    """Read ``segmenter.json``.

    Raises:
        UserError: it is missing, damaged, or of a newer format.
    """
    path = folder / DESCRIPTION_FILE
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no {DESCRIPTION_FILE} there; give a run folder that `segdistill fit`"
            " finished"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {FIX}") from error
    if not isinstance(description, dict) or "format" not in description:
        raise UserError(f"{path}: does not describe a model; {FIX}")
    if description["format"] != FORMAT:
        raise UserError(
            f"{path}: format {description['format']}, but this version reads format {FORMAT};"
            f" it was written by segdistill {description.get('segdistill')}: install that version"
        )
    return description


def read_parts(folder: Path, *, backbone: str | None = None) -> SegmenterParts:
    """Read the parts of a Segmenter; see :meth:`Segmenter.load`.

    Raises:
        UserError: a file is missing or damaged, they do not fit together, or the backbone is not
            the one that the model was trained with.
    """
    description = read_description(folder)
    try:
        expected = {key: str(description["backbone"][key]) for key in ("name", "fingerprint")}
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / DESCRIPTION_FILE}: does not say which backbone it needs; {FIX}"
        ) from error
    tensors = read_tensors(folder)
    network = _load_backbone(expected, backbone, folder)
    with translate_mismatches(folder):
        return _assemble(description, tensors, network)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read ``segmenter.safetensors``.

    Raises:
        UserError: it is missing or damaged.
    """
    path = folder / WEIGHTS_FILE
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {FIX}") from error
    return tensors


@contextlib.contextmanager
def translate_mismatches(folder: Path) -> Iterator[None]:
    """Reword what happens where the files of a model do not fit together.

    Raises:
        UserError: in place of the error.
    """
    try:
        yield
    except KeyError as error:
        raise UserError(f"{folder}: the model lacks {error}; {FIX}") from error
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        # torch lists what does not fit on lines of their own.
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder}: the model's files do not fit together ({reason}); {FIX}"
        ) from error


def prototypes_from(tensors: dict[str, torch.Tensor]) -> Prototypes | None:
    """Return the prototypes among the tensors of a model; older models have none.

    Raises:
        ValueError: they do not fit together.
    """
    parts = _with_prefix(PROTOTYPES, tensors)
    return Prototypes(**parts) if parts else None


def code_maps_from(tensors: dict[str, torch.Tensor]) -> CodeMaps | None:
    """Return the code maps among the tensors of a model; older models have none.

    Raises:
        TypeError: a part is missing.
        ValueError: they do not fit together.
    """
    parts = _with_prefix(CODE_MAPS, tensors)
    return CodeMaps.from_tensors(parts) if parts else None


def levels_from(
    description: dict[str, Any], centres: str, tensors: dict[str, torch.Tensor]
) -> Levels | None:
    """Return the levels of a set of centres; older models have none.

    Args:
        description: of the model.
        centres: name of the centres in the file.
        tensors: of the model.

    Raises:
        KeyError: a level is missing.
        ValueError: they group other clusters than there are centres.
    """
    plain = description.get(LEVELS, {}).get(centres)
    if plain is None:
        return None
    levels = Levels.from_plain(plain)
    if len(levels.fine) != len(tensors[centres]):
        raise ValueError(f"levels of {len(levels.fine)} clusters, but {len(tensors[centres])}")
    return levels


def classes_from(rows: list[dict[str, Any]], centres: torch.Tensor) -> tuple[SegmentClass, ...]:
    """Return classes of a description.

    Args:
        rows: plain values of the classes.
        centres: of their clusters, shape (classes, code channels).

    Raises:
        ValueError: a cluster is in no class, or in two.
    """
    classes = tuple(
        SegmentClass(
            int(each["index"]),
            str(each["name"]),
            _colour(*each["colour"]),
            tuple(map(int, each.get("clusters", ()))),
            bool(each.get("hidden", False)),
        )
        for each in rows
    )
    check_members(classes, len(centres))
    return classes


def _name_from(folder: Path, name: str) -> str:
    """Return the name of a backbone; relative if it lies inside the run, so that both can move."""
    root = folder.resolve()
    inside = Path(name).is_absolute() and Path(name).is_relative_to(root)
    return Path(name).relative_to(root).as_posix() if inside else name


def _load_backbone(expected: dict[str, str], override: str | None, folder: Path) -> Backbone:
    inside = folder / expected["name"]
    bare = folder / expected["name"].removesuffix(KEYS)
    stored = str(inside) if (bare / "config.json").is_file() else expected["name"]
    network = load_backbone(override or stored)
    if network.fingerprint != expected["fingerprint"]:
        raise UserError(
            f"{folder}: was trained with backbone {expected['name']} (fingerprint"
            f" {expected['fingerprint']}), but {network.name} has fingerprint"
            f" {network.fingerprint}; give the original weights with --backbone"
        )
    return network


def _assemble(
    description: dict[str, Any], tensors: dict[str, torch.Tensor], backbone: Backbone
) -> SegmenterParts:
    preparation = FeaturePreparation(
        description["preparation"]["groups"], description["preparation"]["components"]
    )
    preparation.load_state_dict(_with_prefix("preparation.", tensors))
    head = None
    if description["head"] is not None:
        head = SegmentationHead(**description["head"])
        head.load_state_dict(_with_prefix("head.", tensors))
    # A run folder whose number of classes was changed holds several sets of centres.
    in_use = description.get("centres", CENTRES)
    centres = tensors[in_use]
    classes = classes_from(description["classes"], centres)
    resolution = int(description["resolution"])
    raster, scale = description.get("raster"), description.get("scale")
    settings = SegmenterSettings(
        resolution,
        classes,
        description["training"],
        raster=None if raster is None else RasterReading.from_plain(raster),
        scale=None if scale is None else float(scale),
    )
    return SegmenterParts(
        backbone,
        preparation,
        head,
        centres,
        settings,
        prototypes_from(tensors),
        levels_from(description, in_use, tensors),
        code_maps_from(tensors),
    )


def _colour(red: float, green: float, blue: float) -> Colour:
    return int(red), int(green), int(blue)


def _with_prefix(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
