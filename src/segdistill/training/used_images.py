"""Which images a run was fitted on, as its facts keep them: names by the folder they lie in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segdistill.images.decode import content_hash
from segdistill.images.finding import ImageFile
from segdistill.images.folder import CheckedImage


def images_fingerprint(images: Sequence[CheckedImage]) -> str:
    """Return a fingerprint of the content of images, whatever their names and order.

    Example:
        >>> a, b = (CheckedImage(ImageFile(Path(n), Path(n)), n, 1, 1) for n in "ab")
        >>> images_fingerprint([a, b]) == images_fingerprint([b, a]) != images_fingerprint([a])
        True
    """
    return content_hash(" ".join(sorted(image.digest for image in images)).encode())


def names_by_folder(files: Sequence[ImageFile]) -> dict[str, list[str]]:
    """Return the names of images by the folder that they are relative to.

    Args:
        files: the images that were used.

    Returns:
        Names in the order given, by the absolute path of a folder.

    Example:
        >>> names_by_folder([ImageFile(Path("/a/b/c.png"), Path("b/c.png"))])
        {'/a': ['b/c.png']}
    """
    names: dict[str, list[str]] = {}
    for file in files:
        path = file.path.absolute()
        # The name of a benchmark's image may be another than that of its file.
        depth = (
            len(file.name.parts) if path.parts[-len(file.name.parts) :] == file.name.parts else 1
        )
        folder = path.parents[depth - 1]
        names.setdefault(str(folder), []).append(path.relative_to(folder).as_posix())
    return names


def files_from_facts(facts: Mapping[str, Any]) -> list[ImageFile]:
    """Return the images that :func:`names_by_folder` noted in a run's facts.

    Args:
        facts: of the run; those of older versions do not tell.

    Returns:
        The images in the order of the fit, whether they are still there or not.

    Example:
        >>> files_from_facts({"files": {"/a": ["b/c.png"]}})[0].path.as_posix()
        '/a/b/c.png'
        >>> files_from_facts({})
        []
    """
    return [
        ImageFile(Path(folder, name), Path(name))
        for folder, names in facts.get("files", {}).items()
        for name in names
    ]
