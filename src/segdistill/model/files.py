"""Reading and writing ``segmenter.safetensors`` and ``segmenter.json``, without pickle."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
from msgspec import Meta

from segdistill.backbones import KEYS, Backbone, load_backbone
from segdistill.decoding.image_reading import ImageReading
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.files import exists, write_text_atomically
from segdistill.json_files import (
    CHECKSUM,
    Finite,
    Share,
    Text,
    checksum_of,
    plain_number,
    read_json,
)
from segdistill.layout import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.description import SegmentClass, SegmenterSettings, check_members
from segdistill.model.head import SegmentationHead
from segdistill.model.levels import Levels
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.model.tensor_files import read_tensor_file, write_tensor_file
from segdistill.version import __version__

CENTRES = "centres"
FORMAT = 1
FIX = "restore it from a copy, or fit again"

Size = Annotated[int, Meta(ge=1, le=2**20)]
Side = Annotated[int, Meta(ge=1, le=8192)]
"""Shorter side of the backbone's input, as settings allow it."""

Fact = Text | bool | int | Finite | dict[str, Any] | list[Any] | None
Classes = Annotated[tuple[SegmentClass, ...], Meta(max_length=256)]


class _BackboneRecord(msgspec.Struct):
    name: Text
    fingerprint: Text
    licence: Text = ""


class _PreparationRecord(msgspec.Struct):
    groups: Annotated[tuple[Size, ...], Meta(min_length=1)]
    components: Size | None


class _HeadRecord(msgspec.Struct):
    features: Size
    channels: Size
    kind: Literal["nonlinear", "linear"]
    dropout: Annotated[float, Meta(ge=0, lt=1)]


class ClassesRecord(msgspec.Struct):
    """A set of classes not currently in use, and the tensor name of its centres."""

    centres: str
    classes: Classes


class _Header(msgspec.Struct):
    format: int
    segdistill: Text = "of unknown version"


class Description(msgspec.Struct, kw_only=True):
    """The content of ``segmenter.json``: everything in a Segmenter except its tensors.

    Attributes:
        centres: tensor name of the centres in use; ``levels`` is keyed by such names.
        reading: how images are read; older runs only have ``raster``, for GeoTIFFs, or nothing.
        former: the undo history, latest first.
        undone: the redo history, latest first.
        others: sets of classes in neither history.
    """

    format: int = FORMAT
    segdistill: Text = __version__
    backbone: _BackboneRecord
    resolution: Side
    preparation: _PreparationRecord
    head: _HeadRecord | None
    classes: Classes
    levels: dict[str, Levels] = {}
    training: dict[Text, Fact]
    reading: ImageReading | None = None
    raster: dict[str, Any] | None = None
    scale: Annotated[float, Meta(ge=1e-6, le=1e6)] | None = None
    detail: Share = 0.0
    centres: str = CENTRES
    former: tuple[ClassesRecord, ...] = ()
    undone: tuple[ClassesRecord, ...] = ()
    others: tuple[ClassesRecord, ...] = ()


@dataclass(frozen=True)
class SegmenterParts:
    """The parts of a Segmenter; see :class:`segdistill.Segmenter`."""

    backbone: Backbone
    preparation: FeaturePreparation
    head: SegmentationHead | None
    centres: torch.Tensor
    settings: SegmenterSettings
    prototypes: Prototypes | None
    levels: Levels | None
    code_maps: CodeMaps | None


def write_parts(parts: SegmenterParts, folder: Path, *, overwrite: bool = False) -> None:
    """Write the parts of a Segmenter; see :meth:`segdistill.Segmenter.save`."""
    if (folder / DESCRIPTION_FILE).exists() and not overwrite:
        raise UserError(
            f"{folder}: already contains a model; choose another folder or overwrite it"
        )
    tensors = {CENTRES: parts.centres}
    for name, module in (("preparation", parts.preparation), ("head", parts.head)):
        if module is not None:
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, kept in (("prototypes", parts.prototypes), ("code_maps", parts.code_maps)):
        if kept is not None:
            tensors |= {f"{name}.{key}": value for key, value in vars(kept).items()}
    write_tensors(tensors, folder)
    # Written last: a folder with a description is a complete model.
    write_description(_describe(parts, folder), folder)


def write_tensors(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write ``segmenter.safetensors``; raises :class:`UserError` if that fails."""
    write_tensor_file(folder / WEIGHTS_FILE, tensors)


def write_description(description: Description, folder: Path) -> None:
    """Write ``segmenter.json``; raises :class:`UserError` if that fails."""
    path = folder / DESCRIPTION_FILE
    try:
        encoded = msgspec.json.encode(description, enc_hook=plain_number)
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}: a name is not valid Unicode ({error.object[:80]!a}); rename the file, folder"
            " or class"
        ) from error
    plain = msgspec.json.decode(encoded)
    checked = msgspec.json.encode({CHECKSUM: checksum_of(plain), **plain})
    write_text_atomically(path, msgspec.json.format(checked, indent=2).decode() + "\n")


def read_description(folder: Path) -> Description:
    """Read ``segmenter.json``.

    Raises:
        UserError: it is missing, damaged, or of a newer format.
    """
    path = folder / DESCRIPTION_FILE
    if not path.exists():
        raise UserError(
            f"{folder}: no {DESCRIPTION_FILE} there; give a run folder that `segdistill fit`"
            " finished"
        )
    header = read_json(path, _Header, what="a model", fix=FIX)
    if header.format != FORMAT:
        raise UserError(
            f"{path}: format {header.format}, but this version reads format {FORMAT}; it was"
            f" written by segdistill {header.segdistill}: install that version"
        )
    return read_json(path, Description, what="a model", fix=FIX)


def read_parts(folder: Path, *, backbone: str | None = None) -> SegmenterParts:
    """Read the parts of a Segmenter; see :meth:`segdistill.Segmenter.load`.

    Raises:
        UserError: a file is missing or damaged, the files do not match, or the backbone is not
            the one that the model was trained with.
    """
    description = read_description(folder)
    tensors = read_tensors(folder)
    network = _load_backbone(description.backbone, backbone, folder)
    record = description.head
    with translate_mismatches(folder):
        # Allocate no memory yet: a damaged description may claim huge sizes.
        with torch.device("meta"):
            preparation = FeaturePreparation(
                description.preparation.groups, description.preparation.components
            )
            head = None if record is None else SegmentationHead(**msgspec.structs.asdict(record))
        for name, module in (("preparation", preparation), ("head", head)):
            if module is not None:
                module.load_state_dict(_with_prefix(name, tensors), assign=True)
        centres = tensors[description.centres]
        check_members(description.classes, len(centres))
        if sum(network.channel_groups) != sum(preparation.groups):
            raise ValueError(f"features of {sum(preparation.groups)} channels")
        if head is not None and head.linear.in_features != preparation.channels:
            raise ValueError(f"a head of {head.linear.in_features} features")
        codes = preparation.channels if head is None else head.linear.out_features
        prototypes, code_maps = prototypes_from(tensors), code_maps_from(tensors)
        check_codes(codes, centres, prototypes)
        settings = SegmenterSettings(
            description.resolution,
            description.classes,
            description.training,
            reading=description.reading or ImageReading.of_older_run(description.raster),
            scale=description.scale,
            detail=description.detail,
        )
        return SegmenterParts(
            network,
            preparation,
            head,
            centres,
            settings,
            prototypes,
            levels_from(description, description.centres, tensors),
            code_maps,
        )


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read ``segmenter.safetensors``.

    Raises:
        UserError: it is missing or damaged, by so much as a bit, or a number is not finite.
    """
    tensors, _ = read_tensor_file(folder / WEIGHTS_FILE, fix=FIX)
    return tensors


@contextlib.contextmanager
def translate_mismatches(folder: Path) -> Iterator[None]:
    """Turn errors caused by mismatched model files into :class:`UserError`."""
    try:
        yield
    except KeyError as error:
        raise UserError(
            f"{folder / DESCRIPTION_FILE}: refers to {error}, which the model lacks; {FIX}"
        ) from error
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        # torch puts each mismatch on a line of its own.
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder / DESCRIPTION_FILE} and {WEIGHTS_FILE} do not fit together ({reason}); {FIX}"
        ) from error


def prototypes_from(tensors: dict[str, torch.Tensor]) -> Prototypes | None:
    """Return the prototypes among the tensors of a model; older models have none."""
    parts = _with_prefix("prototypes", tensors)
    return Prototypes(**parts) if parts else None


def code_maps_from(tensors: dict[str, torch.Tensor]) -> CodeMaps | None:
    """Return the code maps among the tensors of a model; older models have none.

    Raises:
        ValueError: they refer to prototypes that the model does not have.
    """
    parts = _with_prefix("code_maps", tensors)
    prototypes = tensors.get("prototypes.vectors")
    if not parts or prototypes is None:
        return None
    code_maps = CodeMaps(**parts)
    code_maps.check_for(len(prototypes))
    return code_maps


def levels_from(
    description: Description, centres: str, tensors: dict[str, torch.Tensor]
) -> Levels | None:
    """Return the levels for the centres of the given name; older models have none.

    Raises:
        ValueError: the levels and the centres differ in their number of clusters.
    """
    levels = description.levels.get(centres)
    if levels is not None and len(levels.fine) != len(tensors[centres]):
        raise ValueError(f"levels of {len(levels.fine)} clusters, but {len(tensors[centres])}")
    return levels


def check_codes(channels: int, centres: torch.Tensor, prototypes: Prototypes | None) -> None:
    """Check that centres and prototypes are codes of so many channels.

    Raises:
        ValueError: they are not.
    """
    codes = [centres] if prototypes is None else [centres, prototypes.vectors]
    for each in codes:
        if each.dim() != 2 or each.shape[1] != channels or not each.is_floating_point():
            raise ValueError(f"codes of {channels} channels, but centres of {tuple(each.shape)}")


def _describe(parts: SegmenterParts, folder: Path) -> Description:
    head, settings, backbone = parts.head, parts.settings, parts.backbone
    return Description(
        backbone=_BackboneRecord(
            _name_from(folder, backbone.name), backbone.fingerprint, backbone.licence
        ),
        resolution=settings.resolution,
        preparation=_PreparationRecord(parts.preparation.groups, parts.preparation.components),
        head=None
        if head is None
        else _HeadRecord(
            head.linear.in_features,
            head.linear.out_features,
            "linear" if head.nonlinear is None else "nonlinear",
            head.dropout,
        ),
        classes=settings.classes,
        levels={} if parts.levels is None else {CENTRES: parts.levels},
        training=settings.training,
        reading=settings.reading,
        scale=settings.scale,
        detail=settings.detail,
    )


def _name_from(folder: Path, name: str) -> str:
    """Return the name of a backbone, relative if it is inside the run, so both can be moved."""
    root = folder.resolve()
    inside = Path(name).is_absolute() and Path(name).is_relative_to(root)
    return Path(name).relative_to(root).as_posix() if inside else name


def _load_backbone(expected: _BackboneRecord, override: str | None, folder: Path) -> Backbone:
    inside = folder / expected.name
    bare = folder / expected.name.removesuffix(KEYS)
    is_inside = exists(bare / "config.json")
    network = load_backbone(override or (str(inside) if is_inside else expected.name))
    if network.fingerprint != expected.fingerprint:
        raise UserError(
            f"{folder}: was trained with backbone {expected.name} (fingerprint"
            f" {expected.fingerprint}), but {network.name} has fingerprint"
            f" {network.fingerprint}; give the original weights with --backbone"
        )
    return network


def _with_prefix(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
