"""Candidate words for class names, and their prompts."""

from collections.abc import Iterable
from pathlib import Path

from segdistill.errors import UserError
from segdistill.model.class_edits import MAX_NAME_LENGTH

TEMPLATES = (
    "a photo of {}",
    "a photo of the {}",
    "a close-up photo of {}",
    "a cropped photo of the {}",
    "{} in the background of a photo",
)
"""Prompt templates; the embeddings of a word's prompts are averaged, as in CLIP."""


def read_words(path: Path) -> tuple[str, ...]:
    """Read words from a file, one per line; ``#`` starts a comment.

    Raises:
        UserError: the file is missing, not text, or empty; or a word is too long for a name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}; pass a text file with one word per line"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    words = clean_words(line.partition("#")[0] for line in lines)
    if not words:
        raise UserError(f"{path}: contains no words; write one word per line")
    return words


def clean_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return words with whitespace normalised and duplicates removed, ignoring case.

    Raises:
        UserError: a word is too long for a name.

    Example:
        >>> clean_words(["road ", "", "traffic  light", "Road"])
        ('road', 'traffic light')
    """
    found: dict[str, str] = {}
    for word in words:
        tidy = " ".join(word.split())
        if len(tidy) > MAX_NAME_LENGTH:
            raise UserError(f"{tidy[:20]}...: names may have at most {MAX_NAME_LENGTH} characters")
        if tidy:
            found.setdefault(tidy.casefold(), tidy)
    return tuple(found.values())


def prompts(word: str) -> list[str]:
    """Return the prompts of a word in lower case, as in training.

    Example:
        >>> prompts("Road")[0]
        'a photo of road'
    """
    return [template.format(word).lower() for template in TEMPLATES]
