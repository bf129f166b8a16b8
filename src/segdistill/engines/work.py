"""Work on a large number of images, described so that it can be sent to another process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from segdistill.images.folder import ImageFile
from segdistill.images.remote import RemoteImage

Image = ImageFile | RemoteImage


@dataclass(frozen=True)
class Item:
    """An image to process and the name of its output, as JSON-compatible values.

    Attributes:
        name: path of the image relative to the folder that was searched.
        output: path of the output relative to the output folder.
        path: path of a local image; empty for a remote one.
        folder: URL of the folder of a remote image.
        key: name of a remote image in its folder, exactly as stored.
        ignore: path of a mask of pixels to be ignored; empty for none.
    """

    name: str
    output: str
    path: str = ""
    folder: str = ""
    key: str = ""
    ignore: str = ""

    @classmethod
    def of(cls, image: Image, output: str) -> "Item":
        """Return an image and its output as an item."""
        name = image.name.as_posix()
        if isinstance(image, RemoteImage):
            return cls(name, output, folder=image.folder, key=image.key)
        ignore = "" if image.ignore is None else str(image.ignore)
        return cls(name, output, path=str(image.path), ignore=ignore)

    def with_absolute_path(self) -> "Item":
        """Return the item for workers with another working directory."""
        paths = {"path": self.path, "ignore": self.ignore}
        return replace(self, **{k: str(Path(v).absolute()) for k, v in paths.items() if v})

    @property
    def source(self) -> str:
        """Path or URL of the image."""
        return self.path or f"{self.folder}/{self.key}"


@dataclass(frozen=True)
class Result:
    """The result of an item, as JSON-compatible values.

    Attributes:
        name: name of the item.
        output: path of the output relative to the output folder; empty if there is none.
        reason: why there is no output, beginning with the path of the image; empty if there is one.
        facts: what else is known of the output.
    """

    name: str
    output: str = ""
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Job(NamedTuple):
    """An item whose image is in the local file system.

    Attributes:
        item: the item.
        file: the image, possibly a temporary copy.
    """

    item: Item
    file: ImageFile

    @property
    def output(self) -> Path:
        """Path of the output relative to the output folder."""
        return Path(self.item.output)


class Work(Protocol):
    """Work that can be pickled and sent to another process."""

    @property
    def device(self) -> str:
        """Device to compute on; with ``cpu``, workers request no GPU."""

    def start(self, *, threads: int) -> Callable[[Sequence[Item]], Iterator[Result]]:
        """Load models and other resources, once per process.

        Args:
            threads: number of threads in addition to the calling one.

        Returns:
            A function that takes items and yields a result for each, in any order.

        Raises:
            UserError: a resource is missing.
        """
