"""Suggest names for the classes of a model from a list of words."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.inference.samples import Sample, class_pixels
from segdistill.model.description import SegmentClass
from segdistill.naming.crops import class_crop
from segdistill.naming.encoder import Encoder
from segdistill.naming.probabilities import best_words, mean_direction, word_probabilities
from segdistill.naming.words import prompts
from segdistill.report.examples import choose_examples

CROPS_PER_CLASS = 8
"""Crops embedded per class, from different images if possible."""


@dataclass(frozen=True)
class NameSuggestion:
    """Name suggestion for a class.

    Attributes:
        index: index of the class.
        name: current name.
        is_named: whether the user named the class.
        proposed: suggested word; ``None`` if the class does not occur in the images, or there are
            too few words.
        words: most probable words with their probabilities among all words, best first.
    """

    index: int
    name: str
    is_named: bool
    proposed: str | None
    words: tuple[tuple[str, float], ...]


def suggest(
    encoder: Encoder,
    samples: Sequence[Sample],
    classes: Sequence[SegmentClass],
    words: Sequence[str],
    *,
    top: int = 3,
    unique: bool = False,
    keep_named: bool = True,
) -> list[NameSuggestion]:
    """Suggest names for classes.

    A class is the mean embedding of its crops, and a word is the mean embedding of its prompts; see
    :func:`word_probabilities`.

    Args:
        encoder: embeds images and texts.
        samples: images with their masks.
        classes: classes of the model.
        words: words to choose from.
        top: number of words returned for each class.
        unique: suggest each word at most once.
        keep_named: with ``unique``, skip classes that the user named, and do not suggest their
            names for other classes.
    """
    of_words = word_directions(encoder, words)
    pixels = class_pixels([sample.mask for sample in samples], len(classes))
    probabilities = np.full((len(classes), len(words)), np.nan)
    for each in classes:
        pictures = class_crops(each.index, samples, pixels)
        if pictures:
            direction = mean_direction(encoder.embed_images(pictures))
            probabilities[each.index] = word_probabilities(
                direction[None], of_words, encoder.scale
            )[0]
    kept = [each for each in classes if unique and keep_named and each.is_named]
    chosen = _chosen(probabilities, kept, words, unique=unique)
    return [
        NameSuggestion(
            each.index,
            each.name,
            each.is_named,
            None if (word := chosen[each.index]) is None else words[word],
            _ranked(probabilities[each.index], words, top),
        )
        for each in classes
    ]


def word_directions(encoder: Encoder, words: Sequence[str]) -> torch.Tensor:
    """Return the mean embedding of the prompts of each word, shape (words, channels)."""
    sentences = [sentence for word in words for sentence in prompts(word)]
    embedded = encoder.embed_texts(sentences)
    # (words * templates, channels) -> (words, templates, channels)
    return mean_direction(embedded.reshape(len(words), -1, embedded.shape[1]))


def class_crops(
    index: int, samples: Sequence[Sample], pixels: NDArray[np.int64]
) -> list[NDArray[np.uint8]]:
    """Return crops that show a class.

    Args:
        index: index of the class.
        samples: images with their masks.
        pixels: number of pixels of each class in each sample, shape (samples, classes).
    """
    masks = [sample.mask for sample in samples]
    windows = choose_examples(masks, pixels, index, count=CROPS_PER_CLASS)
    return [class_crop(samples[window.sample], window, index) for window in windows]


def names_to_give(
    suggestions: Sequence[NameSuggestion], *, overwrite: bool = False
) -> dict[int, str]:
    """Return unique new names by class index.

    If a word is suggested for several classes, the most probable one gets the word, and the others
    get it with a number.

    Args:
        suggestions: one suggestion for each class.
        overwrite: also rename classes that the user named.

    Example:
        >>> def suggestion(index, word, probability, name=""):
        ...     return NameSuggestion(
        ...         index, name or f"class {index}", bool(name), word, ((word, probability),)
        ...     )
        >>> names_to_give(
        ...     [suggestion(0, "road", 0.4), suggestion(1, "road", 0.7), suggestion(2, "x", 1, "a")]
        ... )
        {1: 'road', 0: 'road 2'}
    """
    renamed = {
        each.index: each
        for each in suggestions
        if each.proposed is not None and (overwrite or not each.is_named)
    }
    taken = {each.name.casefold() for each in suggestions if each.index not in renamed}
    names = {}
    for each in sorted(renamed.values(), key=lambda each: (-_probability(each), each.index)):
        names[each.index] = _free_name(str(each.proposed), taken)
        taken.add(names[each.index].casefold())
    return names


def shared_words(
    names: Mapping[int, str], suggestions: Sequence[NameSuggestion]
) -> dict[str, list[int]]:
    """Return the words that several classes share, with the indices of these classes.

    Args:
        names: output of :func:`names_to_give`.
        suggestions: the suggestions passed to it.
    """
    owners: dict[str, list[int]] = {}
    for each in suggestions:
        if each.index in names and each.proposed is not None:
            owners.setdefault(each.proposed, []).append(each.index)
    return {word: indices for word, indices in owners.items() if len(indices) > 1}


def _chosen(
    probabilities: NDArray[np.float64],
    kept: Sequence[SegmentClass],
    words: Sequence[str],
    *,
    unique: bool,
) -> list[int | None]:
    names = {each.name.casefold() for each in kept}
    taken = [number for number, word in enumerate(words) if word.casefold() in names]
    free = probabilities.copy()
    free[[each.index for each in kept]] = np.nan
    return best_words(free, unique=unique, taken=taken)


def _ranked(
    probabilities: NDArray[np.float64], words: Sequence[str], top: int
) -> tuple[tuple[str, float], ...]:
    if np.isnan(probabilities).any():
        return ()
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((words[number], float(probabilities[number])) for number in order)


def _probability(suggestion: NameSuggestion) -> float:
    return dict(suggestion.words).get(str(suggestion.proposed), 0.0)


def _free_name(word: str, taken: Collection[str]) -> str:
    if word.casefold() not in taken:
        return word
    number = 2
    while f"{word} {number}".casefold() in taken:
        number += 1
    return f"{word} {number}"
