"""The words among which names are looked for, and the sentences that a network is shown."""

from collections.abc import Iterable
from pathlib import Path

from segdistill.errors import UserError
from segdistill.model.class_edits import LONGEST_NAME

TEMPLATES = (
    "a photo of {}",
    "a photo of the {}",
    "a close-up photo of {}",
    "a cropped photo of the {}",
    "{} in the background of a photo",
)
"""Sentences for a word; their embeddings are averaged, as CLIP's authors do."""


def read_words(path: Path) -> tuple[str, ...]:
    """Read words, one a line; what follows ``#`` is a comment.

    Raises:
        UserError: the file is missing, no text, or holds no word; or a word is too long for a name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}; give a text file with a word a line"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text in UTF-8; save it as such") from error
    words = tidy_words(line.partition("#")[0] for line in lines)
    if not words:
        raise UserError(f"{path}: holds no word; write one a line")
    return words


def tidy_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return words without needless blanks, each once; capitals do not make another word.

    Raises:
        UserError: a word is too long for a name.

    Example:
        >>> tidy_words(["road ", "", "traffic  light", "Road"])
        ('road', 'traffic light')
    """
    found: dict[str, str] = {}
    for word in words:
        tidy = " ".join(word.split())
        if len(tidy) > LONGEST_NAME:
            raise UserError(f"{tidy[:20]}...: a name may have up to {LONGEST_NAME} letters")
        if tidy:
            found.setdefault(tidy.casefold(), tidy)
    return tuple(found.values())


def prompts(word: str) -> list[str]:
    """Return the sentences for a word, in lower case, as the networks were trained.

    Example:
        >>> prompts("Road")[0]
        'a photo of road'
    """
    return [template.format(word).lower() for template in TEMPLATES]
