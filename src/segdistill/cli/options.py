"""Arguments that several commands share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from segdistill.cli.arguments import Value
from segdistill.config.settings import DeviceName, EngineName, PrecisionName
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill import LabelledSet


def check_path(path: str) -> None:
    """Check that a local path or pattern exists."""
    from segdistill.images.finding import check_exists

    check_exists(path)


def check_source(source: str) -> None:
    """Check that a source exists, unless it is a URL."""
    from segdistill.storage import is_url

    if not is_url(source):
        check_path(source)


def one_of(**given: object) -> list[str]:
    """Return the option that is given, or nothing; options are named by their parameters.

    Raises:
        UserError: several are given.

    Example:
        >>> one_of(level="fine", classes=None)
        ['--level']
    """
    options = [
        f"--{name}" for name, value in given.items() if value is not None and value is not False
    ]
    if len(options) > 1:
        raise UserError(f"{' and '.join(options)}: give only one of them")
    return options


Run = Annotated[str, Value("RUN", "run folder that `segdistill fit` wrote")]
Folder = Annotated[str, Value("FOLDER")]
File = Annotated[str, Value("FILE")]
PathOrUrl = Annotated[str, Value("PATH")]
Name = Annotated[str, Value("NAME")]
Existing = Annotated[str, Value("PATH", check=check_path)]
Source = Annotated[str, Value("IMAGES", check=check_source)]

Backbone = Annotated[
    str,
    Value(
        "PATH", "new location of the backbone, if it was moved (default: the one stored in the run)"
    ),
]
Device = Annotated[DeviceName, Value(help="device to compute on; auto uses a GPU if there is one")]
Precision = Annotated[
    PrecisionName,
    Value(
        help="precision of matrix products; auto uses bfloat16 if the device supports it natively"
    ),
]
Strict = Annotated[bool, Value(help="stop at the first image that cannot be read")]


@dataclass(frozen=True)
class Loading:
    """How a run is loaded."""

    backbone: Backbone | None = None
    device: Device = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Engine:
    """What runs the work on very many images.

    Attributes:
        engine: what does the work: this process, or Ray workers, here or on the cluster at
            RAY_ADDRESS
        workers: number of Ray workers (default: one per GPU, or one per core without GPUs)
    """

    engine: EngineName = "local"
    workers: int | None = None


@dataclass(frozen=True)
class Labelled:
    """Images with labels.

    Attributes:
        images: folder of images, used with --labels (default: the images of --dataset)
        labels: folder of label files with the images' names (default: the labels of --dataset)
        label_map: YAML file that maps numbers or colours of the label files to classes, and says
            which to ignore; docs/reading.md describes it (default: numbers are class indices, and
            255 means 'not labelled')
        dataset: benchmark to use instead; `segdistill datasets` lists them (default: none)
        data_root: folder that contains the files of --dataset (default: none)
    """

    images: Folder | None = None
    labels: Folder | None = None
    label_map: File | None = None
    dataset: Name | None = None
    data_root: Folder | None = None

    def load(self, split: str, *, progress: bool = False) -> "LabelledSet":
        """Return the images and labels of two folders, or of a split of a benchmark."""
        from segdistill import labelled_dataset, labelled_folders

        if self.dataset and self.data_root:
            return labelled_dataset(
                self.dataset, self.data_root, split, label_map=self.label_map, progress=progress
            )
        if self.images and self.labels:
            return labelled_folders(
                self.images, self.labels, label_map=self.label_map, progress=progress
            )
        raise UserError("no labels: give --images and --labels, or --dataset and --data-root")
