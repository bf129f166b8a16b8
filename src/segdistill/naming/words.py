"""Candidate words for class names, their prompts, and their probabilities for classes."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

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


def mean_direction(embeddings: torch.Tensor) -> torch.Tensor:
    """Normalise vectors, average them, and normalise the mean.

    Args:
        embeddings: non-zero vectors, shape (..., count, channels).

    Returns:
        Unit vectors of shape (..., channels).

    Example:
        >>> mean_direction(torch.tensor([[3.0, 0.0], [0.0, 1.0]])).mul(2**0.5).round().tolist()
        [1.0, 1.0]
    """
    return F.normalize(F.normalize(embeddings, dim=-1).mean(dim=-2), dim=-1)


def word_probabilities(
    classes: torch.Tensor, words: torch.Tensor, scale: float
) -> NDArray[np.float64]:
    """Return the probability of each word for each class.

    Softmax over scaled cosine similarities, as in CLIP (Radford et al., ICML 2021, section 3.1.2).

    Args:
        classes: unit vectors of shape (classes, channels).
        words: unit vectors of shape (words, channels).
        scale: trained factor of the cosine similarities.

    Returns:
        Array of shape (classes, words); rows sum to 1.

    Example:
        >>> eye = torch.eye(2)
        >>> word_probabilities(eye, eye, 1.0).round(2).tolist()
        [[0.73, 0.27], [0.27, 0.73]]
    """
    cosines = classes.double() @ words.double().mT
    probabilities: NDArray[np.float64] = (scale * cosines).softmax(dim=1).numpy()
    return probabilities


def best_words(
    probabilities: NDArray[np.float64], *, unique: bool = False, taken: Collection[int] = ()
) -> list[int | None]:
    """Choose a word for each class.

    Args:
        probabilities: word probabilities, shape (classes, words); rows of NaN get no word.
        unique: use each word at most once, maximising the joint probability. Some classes get no
            word if there are too few.
        taken: indices of words that ``unique`` must not use.

    Returns:
        Index of the word of each class, or ``None``.

    Example:
        >>> likely = np.array([[0.8, 0.2], [0.9, 0.1]])
        >>> best_words(likely), best_words(likely, unique=True)
        ([0, 0], [1, 0])
    """
    known = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    chosen: list[int | None] = [None] * len(probabilities)
    if not unique:
        for row in known:
            chosen[row] = int(probabilities[row].argmax())
        return chosen
    free = np.array([word for word in range(probabilities.shape[1]) if word not in taken], np.intp)
    logarithms = np.log(probabilities[np.ix_(known, free)].clip(1e-300))
    for row, column in zip(*linear_sum_assignment(logarithms, maximize=True), strict=True):
        chosen[known[row]] = int(free[column])
    return chosen
