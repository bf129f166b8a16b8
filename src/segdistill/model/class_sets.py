"""The classes of a run folder: those in use, and those that were in use before.

``segmenter.safetensors`` holds the centres of every set of classes, ``segmenter.json`` says which
set is in use. A set is added to the first file before the second names it, and never taken away: at
each moment the folder holds a whole model, and each change can be undone.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from segdistill.files import write_text_atomically
from segdistill.model.description import SegmentClass
from segdistill.model.files import (
    CENTRES,
    DESCRIPTION_FILE,
    classes_from,
    prototypes_among,
    read_description,
    read_tensors,
    translate_misfits,
    write_tensors,
)
from segdistill.model.prototypes import Prototypes


@dataclass(frozen=True)
class ClassSet:
    """Classes and their centres.

    Attributes:
        classes: in the order of their indices.
        centres: of the clusters, shape (classes, code channels).
        tensor: name of the centres in the file; none if they are not in it yet.
    """

    classes: tuple[SegmentClass, ...]
    centres: torch.Tensor
    tensor: str | None = None


@dataclass(frozen=True)
class ClassSets:
    """All classes that a run folder knows.

    Attributes:
        current: those in use.
        former: those that were in use before, the last first.
        prototypes: from which other numbers of classes can be made; older models have none.
        training: facts on how the model came to be.
    """

    current: ClassSet
    former: tuple[ClassSet, ...]
    prototypes: Prototypes | None
    training: dict[str, Any]


def read_class_sets(folder: Path) -> ClassSets:
    """Read the classes of a run folder; the backbone is not needed.

    Raises:
        UserError: the folder holds no model, or a damaged one.
    """
    description = read_description(folder)
    tensors = read_tensors(folder)

    def class_set(rows: list[dict[str, Any]], tensor: str) -> ClassSet:
        centres = tensors[tensor]
        return ClassSet(classes_from(rows, centres), centres, tensor)

    with translate_misfits(folder):
        return ClassSets(
            class_set(description["classes"], description.get("centres", CENTRES)),
            tuple(
                class_set(each["classes"], each["centres"])
                for each in description.get("former", [])
            ),
            prototypes_among(tensors),
            dict(description["training"]),
        )


def use_class_set(folder: Path, chosen: ClassSet, former: Sequence[ClassSet]) -> None:
    """Let a run folder use a set of classes.

    Args:
        folder: the run folder.
        chosen: one of those it knows, or a new one.
        former: all others that it knows, the last in use first.

    Raises:
        UserError: the folder holds no model, or cannot be written.
    """
    description = read_description(folder)
    tensor = chosen.tensor
    if tensor is None:
        tensors = read_tensors(folder)
        tensor = next(
            name
            for name in (f"{CENTRES}.{number}" for number in range(1, len(tensors) + 2))
            if name not in tensors
        )
        write_tensors({**tensors, tensor: chosen.centres}, folder)
    description["classes"] = _rows(chosen)
    description["centres"] = tensor
    description["former"] = [{"centres": each.tensor, "classes": _rows(each)} for each in former]
    write_text_atomically(folder / DESCRIPTION_FILE, json.dumps(description, indent=2) + "\n")


def _rows(each: ClassSet) -> list[dict[str, Any]]:
    return [asdict(row) for row in each.classes]
