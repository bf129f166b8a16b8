"""Suggest names for the classes of a model from a list of words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.inference.samples import Sample, class_pixels
from segdistill.model.description import SegmentClass
from segdistill.naming.encoder import Encoder
from segdistill.naming.words import best_words, mean_direction, prompts, word_probabilities
from segdistill.report.examples import Window, choose_examples

CROPS_PER_CLASS = 8
"""Crops embedded per class, from different images if possible."""

BLUR_SHARE = 0.06
"""Standard deviation of the background blur, as a share of the longer side of the crop."""

GREY = 128.0
FADE = 0.5
"""Share of grey blended into the background."""


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
        top: number of words returned for each class.
        keep_named: with ``unique``, skip classes that the user named, and do not suggest their
            names for other classes.
    """
    embedded = encoder.embed_texts([sentence for word in words for sentence in prompts(word)])
    # (words * templates, channels) -> (words, templates, channels) -> (words, channels)
    word_directions = mean_direction(embedded.reshape(len(words), -1, embedded.shape[1]))
    masks = [sample.mask for sample in samples]
    pixels = class_pixels(masks, len(classes))
    probabilities = np.full((len(classes), len(words)), np.nan)
    for each in classes:
        windows = choose_examples(masks, pixels, each.index, count=CROPS_PER_CLASS)
        crops = [class_crop(samples[window.sample], window, each.index) for window in windows]
        if crops:
            direction = mean_direction(encoder.embed_images(crops))
            probabilities[each.index] = word_probabilities(
                direction[None], word_directions, encoder.scale
            )[0]
    kept = [each for each in classes if unique and keep_named and each.is_named]
    names = {each.name.casefold() for each in kept}
    taken = [number for number, word in enumerate(words) if word.casefold() in names]
    free = probabilities.copy()
    free[[each.index for each in kept]] = np.nan
    chosen = best_words(free, unique=unique, taken=taken)
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


def class_crop(sample: Sample, window: Window, index: int) -> NDArray[np.uint8]:
    """Crop a window, with everything but the class blurred and faded to grey.

    Blurring the background works better with models such as CLIP than boxes or cut-outs, because it
    keeps the context (Yang et al., NeurIPS 2023).
    """
    part = sample.image[window.rows, window.columns].astype(np.float32)
    belongs = sample.mask[window.rows, window.columns] == index
    deviation = BLUR_SHARE * max(belongs.shape)
    blurred = ndimage.gaussian_filter(part, (deviation, deviation, 0))
    around = blurred + FADE * (GREY - blurred)
    picture = np.where(belongs[:, :, None], part, around)
    return np.round(picture).astype(np.uint8)


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
    for each in sorted(renamed.values(), key=_least_probable_last):
        numbered = (f"{each.proposed} {number}" for number in count(2))
        candidates = chain([str(each.proposed)], numbered)
        names[each.index] = next(name for name in candidates if name.casefold() not in taken)
        taken.add(names[each.index].casefold())
    return names


def _least_probable_last(suggestion: NameSuggestion) -> tuple[float, int]:
    return -dict(suggestion.words).get(str(suggestion.proposed), 0.0), suggestion.index


def shared_words(
    names: Mapping[int, str], suggestions: Sequence[NameSuggestion]
) -> dict[str, list[int]]:
    """Return the words that several classes share, with the indices of these classes.

    Args:
        names: output of :func:`names_to_give`.
    """
    owners: dict[str, list[int]] = {}
    for each in suggestions:
        if each.index in names and each.proposed is not None:
            owners.setdefault(each.proposed, []).append(each.index)
    return {word: indices for word, indices in owners.items() if len(indices) > 1}


def _ranked(
    probabilities: NDArray[np.float64], words: Sequence[str], top: int
) -> tuple[tuple[str, float], ...]:
    if np.isnan(probabilities).any():
        return ()
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((words[number], float(probabilities[number])) for number in order)
