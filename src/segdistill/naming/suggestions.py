"""Proposing names for the classes of a model out of given words."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.inference.samples import Sample, class_pixels
from segdistill.model.description import SegmentClass
from segdistill.naming.encoder import Encoder
from segdistill.naming.pictures import class_picture
from segdistill.naming.probabilities import best_words, mean_direction, word_probabilities
from segdistill.naming.words import prompts
from segdistill.report.examples import choose_examples

PICTURES = 8
"""Pictures of a class that are shown to the network, from different images if possible."""


@dataclass(frozen=True)
class NameSuggestion:
    """What a class may be called.

    Attributes:
        index: of the class.
        name: that it has now.
        is_named: whether somebody has named it.
        proposed: the word chosen for it; ``None`` where it does not occur in the images, or where
            the words did not suffice.
        words: the most probable words with their probabilities among all words, best first.
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
    """Propose names for classes.

    A class is where the mean of its pictures' embeddings points, a word where that of its
    sentences' does; both are compared by :func:`word_probabilities`.

    Args:
        encoder: embeds pictures and sentences.
        samples: images with their masks.
        classes: of the model.
        words: to choose from.
        top: words to name for each class.
        unique: propose no word twice.
        keep_named: with ``unique``, leave the names that somebody has given where they are, and
            propose them for no other class.
    """
    of_words = word_directions(encoder, words)
    pixels = class_pixels([sample.mask for sample in samples], len(classes))
    probabilities = np.full((len(classes), len(words)), np.nan)
    for each in classes:
        pictures = pictures_of(each.index, samples, pixels)
        if pictures:
            direction = mean_direction(encoder.embed_pictures(pictures))
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
    """Return where the sentences for each word point on average, shape (words, channels)."""
    sentences = [sentence for word in words for sentence in prompts(word)]
    embedded = encoder.embed_sentences(sentences)
    # (words * templates, channels) -> (words, templates, channels)
    return mean_direction(embedded.reshape(len(words), -1, embedded.shape[1]))


def pictures_of(
    index: int, samples: Sequence[Sample], pixels: NDArray[np.int64]
) -> list[NDArray[np.uint8]]:
    """Return pictures that show a class well.

    Args:
        index: of the class.
        samples: images with their masks.
        pixels: of each class in each sample, shape (samples, classes).
    """
    masks = [sample.mask for sample in samples]
    windows = choose_examples(masks, pixels, index, count=PICTURES)
    return [class_picture(samples[window.sample], window, index) for window in windows]


def names_to_give(
    suggestions: Sequence[NameSuggestion], *, overwrite: bool = False
) -> dict[int, str]:
    """Return new names by class index, no two alike.

    Where a word is proposed for several classes, the one that it fits best bears it, the others
    bear it with a number.

    Args:
        suggestions: one for each class.
        overwrite: also rename classes that somebody has named.

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
    """Return the words that were given to several classes, with those classes.

    Args:
        names: of :func:`names_to_give`.
        suggestions: from which they were made.
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
