"""The facts of a fit, as recorded in ``facts.json``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from segdistill.config.settings import LevelName
from segdistill.images.finding import ImageFile
from segdistill.images.folder import SkippedImage
from segdistill.json_files import Count, Finite, Text, read_json
from segdistill.objective.stego import Shifts

Classes = Annotated[int, Meta(ge=1, le=255)]
Confidence = Literal["high", "low", "none"]


@dataclass(frozen=True)
class SkippedFile:
    """An image that was skipped, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class AgreementRecord:
    """The neighbour agreement of clustered codes at one step.

    Attributes:
        step: the training step, counted from 1.
        agreement: the agreement, at most 1.
    """

    step: Count
    agreement: Finite


@dataclass(frozen=True)
class ClassCount:
    """Estimated numbers of classes, and the evidence for them.

    Attributes:
        chosen: the medium number, used by the fit.
        candidates: the numbers tried, in ascending order.
        stability: agreement between clusterings of two halves of the images at each candidate, at
            most 1; 0 is chance level.
        silhouette: the separation of classes at each candidate, from 0 to 1.
        needed: the minimum stability of a reproducible number.
        coarse: the coarse number; 0 in runs of earlier versions, which did not estimate it.
        fine: the number of fine clusters; 0 in runs of earlier versions.
        confidence: ``high`` if clusterings of two halves of the images agree well at the coarse
            number (0.9 or more); ``low`` if they agree fairly well (0.8 or more); ``none`` if no
            number is reproducible and ``chosen`` is the default.
    """

    chosen: Classes
    candidates: Annotated[tuple[Classes, ...], Meta(min_length=1)]
    stability: tuple[Finite, ...]
    silhouette: tuple[Finite, ...]
    needed: Finite
    coarse: Count = 0
    fine: Count = 0
    confidence: Confidence = "none"

    def __post_init__(self) -> None:
        """Check that there is evidence for each candidate.

        Raises:
            ValueError: there are no candidates, or their numbers differ.
        """
        counts = {len(self.candidates), len(self.stability), len(self.silhouette)}
        if len(counts) != 1 or counts == {0}:
            raise ValueError("candidates and evidence differ in number, or there are none")

    @property
    def is_default(self) -> bool:
        """Whether no number was reproducible."""
        return self.confidence == "none"

    @property
    def stability_of_chosen(self) -> float:
        """Stability at the candidate nearest to the chosen number."""
        nearest = min(self.candidates, key=lambda number: abs(number - self.chosen))
        return self.stability[self.candidates.index(nearest)]


@dataclass(frozen=True)
class Facts:
    """What a fit records besides its model, settings and losses.

    Runs of earlier versions lack some of it.

    Attributes:
        images: number of images used.
        files: their names by the absolute path of their folder; see :func:`names_by_folder`.
        skipped: images that could not be read.
        seconds: time spent in each stage.
        shifts: shifts of the correspondence loss; ``None`` if only k-means ran.
        maps_not_stored: number of feature maps that did not fit in the store.
        damaged_maps: number of maps in the store that were damaged and computed again.
        environment: what the run was made with: versions, platform, device, precision, threads.
        agreement_history: neighbour agreement at the monitored steps, with early stopping.
        kept_step: the step whose codes were kept, with early stopping.
        class_count: the estimate of the number of classes, if it was not given.
        levels: number of classes of each level.
    """

    images: Count = 0
    files: dict[str, list[str]] = field(default_factory=dict)
    skipped: tuple[SkippedFile, ...] = ()
    seconds: dict[str, Annotated[float, Meta(ge=0, le=1e300)]] = field(default_factory=dict)
    shifts: Shifts | None = None
    maps_not_stored: Count = 0
    damaged_maps: Count = 0
    environment: dict[Text, Text | int] = field(default_factory=dict)
    agreement_history: tuple[AgreementRecord, ...] = ()
    kept_step: Count | None = None
    class_count: ClassCount | None = None
    levels: dict[LevelName, Count] | None = None

    @property
    def image_files(self) -> list[ImageFile]:
        """The images used, in order; they may no longer exist.

        Example:
            >>> Facts(files={"/a": ["b/c.png"]}).image_files[0].path.as_posix()
            '/a/b/c.png'
        """
        return [
            ImageFile(Path(folder, name), Path(name))
            for folder, names in self.files.items()
            for name in names
        ]


def read_facts(path: Path) -> Facts:
    """Read facts from a file, of this version or an earlier one; empty if there is no such file.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return Facts()
    fix = "restore it from a copy, or remove it"
    return read_json(path, Facts, what="a fit", fix=fix, upgrade=_upgraded)


def _upgraded(plain: Any) -> Any:
    if isinstance(plain, dict):
        if "looks" in plain:
            plain["agreement_history"] = plain.pop("looks")
        count = plain.get("class_count")
        if isinstance(count, dict) and count.get("stands_out"):
            count["confidence"] = "high"
    return plain


def skipped_files(skipped: Sequence[SkippedImage]) -> tuple[SkippedFile, ...]:
    """Return skipped images as they are recorded in files."""
    return tuple(SkippedFile(str(each.file.path), each.reason) for each in skipped)


def names_by_folder(files: Sequence[ImageFile]) -> dict[str, list[str]]:
    """Return the names of images, in order, by the absolute path of their base folder.

    Example:
        >>> names_by_folder([ImageFile(Path("/a/b/c.png"), Path("b/c.png"))])
        {'/a': ['b/c.png']}
    """
    names: dict[str, list[str]] = {}
    for file in files:
        path = file.path.absolute()
        # The name of a benchmark image may differ from its file name.
        depth = (
            len(file.name.parts) if path.parts[-len(file.name.parts) :] == file.name.parts else 1
        )
        folder = path.parents[depth - 1]
        names.setdefault(str(folder), []).append(path.relative_to(folder).as_posix())
    return names
