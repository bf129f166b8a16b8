"""Matching images with the files that accompany them: labels, depth maps, saliency maps."""

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segdistill.errors import UserError
from segdistill.images.finding import ImageFile

logger = logging.getLogger("segdistill")

_BOUNDARY = re.compile(r"[_\-. ]")


class NothingMatchesError(UserError):
    """No image has a file of its name."""


class Suffixed(Protocol):
    """What is known about the ends of names, such as a label map."""

    @property
    def image_suffix(self) -> str:
        """End of the images' names, without that of the file format."""

    @property
    def label_suffix(self) -> str:
        """End of the label files' names."""


@dataclass(frozen=True)
class Suffixes:
    """Ends of names, before those of the file formats, by which images and labels differ."""

    image_suffix: str = ""
    label_suffix: str = ""

    def __str__(self) -> str:
        """Return the suffixes as a label map has them."""
        images = f"images: {self.image_suffix}, " if self.image_suffix else ""
        return (
            f"{{{images}labels: {self.label_suffix}}}"
            if self.label_suffix
            else (f"{{images: {self.image_suffix}}}")
        )


def normal_name(name: Path) -> str:
    """Return a relative name in the Unicode normal form NFC.

    'é' is one character in names from Linux and Windows, and two in those from many Macs.
    """
    return unicodedata.normalize("NFC", name.as_posix())


def normal_stem(name: Path) -> str:
    r"""Return a relative name without its suffix, in the Unicode normal form NFC.

    Example:
        >>> normal_stem(Path("a/e\u0301.png")) == normal_stem(Path("a/\u00e9.jpg"))
        True
    """
    return normal_name(name.with_suffix(""))


def by_stem(files: Iterable[ImageFile], *, kind: str) -> dict[str, ImageFile]:
    """Return files by :func:`normal_stem`.

    Raises:
        UserError: two files have the same.
    """
    found: dict[str, ImageFile] = {}
    for file in files:
        other = found.setdefault(normal_stem(file.name), file)
        if other is not file:
            raise _two_of_one(other, file, kind, normal_stem(file.name))
    return found


def match_labels(
    images: Sequence[ImageFile],
    labels: Sequence[ImageFile],
    *,
    kind: str = "label file",
    suffixes: Suffixed = Suffixes(),
) -> list[tuple[ImageFile, ImageFile]]:
    """Pair images with the files of the same relative name, with any format's suffix.

    A file's name may also contain the image's full name, such as ``a.jpg.png``. Images without a
    file are left out. Names are compared in the Unicode normal form NFC.

    Args:
        images: images to match.
        labels: label files, depth maps and the like.
        kind: what those are called in messages.
        suffixes: what the names end with; others are left out.

    Raises:
        UserError: no image has such a file, or an image has several.
    """
    of_stem: dict[str, list[ImageFile]] = defaultdict(list)
    for each in labels:
        stem = _without(each.name, suffixes.label_suffix)
        if stem is not None:
            of_stem[stem].append(each)
    pairs = []
    for image in images:
        stem = _without(image.name, suffixes.image_suffix)
        if stem is None:
            continue
        whole = normal_name(image.name)
        found = [*of_stem.get(stem, ()), *(of_stem.get(whole, ()) if whole != stem else ())]
        if len(found) > 1:
            raise _two_of_one(found[0], found[1], kind, str(image.name))
        pairs += [(image, each) for each in found]
    if not pairs:
        raise NothingMatchesError(_nothing_matches(images, labels, kind, suffixes))
    _warn_of_shared(pairs, kind)
    return pairs


def _warn_of_shared(pairs: Sequence[tuple[ImageFile, ImageFile]], kind: str) -> None:
    """Log a warning if images that differ only in their suffixes share one file."""
    first: dict[Path, ImageFile] = {}
    shared = [
        (first[file.path], image, file)
        for image, file in pairs
        if first.setdefault(file.path, image) is not image
    ]
    if shared:
        one, other, file = shared[0]
        logger.warning(
            "%s and %s share one %s, %s; if it belongs to only one of them, rename it to %s or"
            " %s%s",
            *(one.path, other.path, kind, file.path),
            *(f"{each.name.name}{file.path.suffix}" for each in (one, other)),
            f" ({len(shared) - 1} more like this)" if len(shared) > 1 else "",
        )


def find_suffixes(images: Sequence[ImageFile], labels: Sequence[ImageFile]) -> list[Suffixes]:
    """Return the suffixes with which every image has exactly one label file.

    Suffixes begin with one of ``_-. `` and contain a letter; numbers are not suffixes, because
    ``a_1`` and ``a_2`` are different pictures. Where one of the labels is matched by two ways (such
    as ``_color`` and ``_labelIds``), both are returned.

    Example:
        >>> def files(*names):
        ...     return [ImageFile(Path(name), Path(name)) for name in names]
        >>> find_suffixes(files("a.jpg", "b.jpg"), files("a_mask.png", "b_mask.png"))
        [Suffixes(image_suffix='', label_suffix='_mask')]
    """
    stems = [normal_stem(image.name) for image in images]
    present: Mapping[str, int] = _counted(normal_stem(label.name) for label in labels)
    if not stems or len(labels) < len(images):
        return []
    first, rest = stems[0], stems[1:]
    found = []
    for candidate in sorted({_difference(first, label) for label in list(present)}):
        image_end, label_end = candidate
        if not (_is_suffix(image_end) and _is_suffix(label_end)) or image_end == label_end:
            continue
        matched = (
            stem.endswith(image_end)
            and present.get(stem[: len(stem) - len(image_end)] + label_end) == 1
            for stem in (first, *rest)
        )
        if all(matched):
            found.append(Suffixes(image_end, label_end))
    return found


def _difference(image: str, label: str) -> tuple[str, str]:
    """Return the ends of two names that differ, from the last boundary on."""
    common = 0
    while common < min(len(image), len(label)) and image[common] == label[common]:
        common += 1
    while common and not all(
        end == "" or _BOUNDARY.match(end) for end in (image[common:], label[common:])
    ):
        common -= 1
    return image[common:], label[common:]


def _is_suffix(end: str) -> bool:
    return end == "" or ("/" not in end and any(letter.isalpha() for letter in end))


def _counted(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return counts


def _without(name: Path, suffix: str) -> str | None:
    """Return a name's stem without a suffix, or ``None`` if it does not end with it.

    The suffix may include that of the file format, as in ``_labelIds.png``.
    """
    suffix = unicodedata.normalize("NFC", suffix)
    whole = normal_name(name)
    stem = normal_stem(name)
    for each in (stem, whole) if suffix else ():
        if each.endswith(suffix):
            return each.removesuffix(suffix)
    return None if suffix else stem


def _two_of_one(one: ImageFile, other: ImageFile, kind: str, name: str) -> UserError:
    return UserError(f"{one.path} and {other.path}: both are {kind}s of {name}; remove one")


def _nothing_matches(
    images: Sequence[ImageFile], labels: Sequence[ImageFile], kind: str, suffixes: Suffixed
) -> str:
    image = images[0].name if images else "none"
    given = " and ".join(
        f"{what} that end in {suffix!r}"
        for what, suffix in (("images", suffixes.image_suffix), (f"{kind}s", suffixes.label_suffix))
        if suffix
    )
    return (
        f"none of {len(images)} images (such as {image}) has a {kind} of the same"
        f" name (such as {labels[0].name if labels else 'none'})"
        + (f" among {given}" if given else "")
        + "; give the two folders that correspond"
    )
