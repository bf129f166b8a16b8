"""Suggestions by an encoder that knows colours, of which the right answers are known."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import striped_image, striped_labels

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.samples import Sample
from segdistill.model.class_edits import named
from segdistill.model.description import numbered_classes
from segdistill.naming.suggestions import class_crop, names_to_give, shared_words, suggest
from segdistill.naming.words import (
    TEMPLATES,
    best_words,
    mean_direction,
    read_words,
    word_probabilities,
)
from segdistill.report.examples import Window

COLOURS = {"sky": (70, 120, 220), "rock": (130, 130, 130), "grass": (60, 150, 50)}


class ColourEncoder:
    """Embeds a picture as its mean colour, a sentence as that of the thing it names.

    A constant channel gives grey a direction of its own.
    """

    scale = 30.0

    def embed_images(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        means = [each.reshape(-1, 3).mean(axis=0) - 128 for each in pictures]
        return self._directions(np.array(means))

    def embed_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        colours = [
            next((c for word, c in COLOURS.items() if word in sentence), (250, 20, 20))
            for sentence in sentences
        ]
        return self._directions(np.array(colours) - 128.0)

    def _directions(self, colours: NDArray[np.float64]) -> torch.Tensor:
        return F.normalize(F.pad(torch.from_numpy(colours), (0, 1), value=40.0), dim=1)


@pytest.fixture
def samples() -> list[Sample]:
    return [
        Sample(ImageFile(Path("a"), Path("a")), striped_image(s, 120, 180), labels(s))
        for s in range(3)
    ]


def labels(seed: int) -> NDArray[np.uint8]:
    return striped_labels(seed, 120, 180)


def test_each_class_gets_the_word_of_its_colour(samples: list[Sample]) -> None:
    words = ["grass", "fire", "sky"]
    found = suggest(ColourEncoder(), samples, numbered_classes(4), words)
    assert [each.proposed for each in found[::2]] == ["sky", "grass"]
    # Nothing is of class 3.
    assert (found[3].proposed, found[3].words) == (None, ())
    assert found[0].words[0][0] == "sky"
    for each in found[:3]:
        shares = [share for _, share in each.words]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)


def test_names_that_people_gave_stay_and_are_proposed_once(samples: list[Sample]) -> None:
    classes = named(numbered_classes(3), {1: "Sky"})
    words = ["sky", "grass", "rock"]
    found = suggest(ColourEncoder(), samples, classes, words, unique=True)
    assert [each.proposed for each in found] == ["rock", None, "grass"]
    assert names_to_give(found) == {0: "rock", 2: "grass"}
    again = suggest(ColourEncoder(), samples, classes, words, unique=True, keep_named=False)
    assert [again[0].proposed, again[2].proposed] == ["sky", "grass"]
    assert names_to_give(again, overwrite=True) == {0: "sky", 1: "rock", 2: "grass"}
    plain = suggest(ColourEncoder(), samples, classes, words)
    assert names_to_give(plain)[0] == "sky 2"


def test_a_word_for_two_classes_is_numbered(samples: list[Sample]) -> None:
    found = suggest(ColourEncoder(), samples, numbered_classes(3), ["grass"])
    names = names_to_give(found)
    assert sorted(names.values()) == ["grass", "grass 2", "grass 3"]
    assert shared_words(names, found) == {"grass": [0, 1, 2]}


def test_only_the_class_itself_is_shown_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    mask = np.zeros((80, 90), np.uint8)
    mask[20:60, 30:70] = 1
    sample = Sample(ImageFile(Path("a"), Path("a")), image, mask)
    picture = class_crop(sample, Window(0, slice(10, 74), slice(20, 84), 1.0), 1)
    inside = mask[10:74, 20:84] == 1
    np.testing.assert_array_equal(picture[inside], image[10:74, 20:84][inside])
    # What lies around is smooth and near grey.
    assert picture[~inside].std() < 12
    assert abs(picture[~inside].mean() - 128) < 8


def test_probabilities_are_the_softmax_of_scaled_cosines() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures, sentences = (torch.randn(3, 5, 7, generator=generator) for _ in range(2))
    classes, words = mean_direction(pictures), mean_direction(sentences)
    plain = np.empty((3, 3))
    for i in range(3):
        a = np.mean([p / np.linalg.norm(p) for p in pictures[i].numpy()], axis=0)
        for j in range(3):
            b = np.mean([s / np.linalg.norm(s) for s in sentences[j].numpy()], axis=0)
            plain[i, j] = np.exp(9.0 * (a @ b) / np.linalg.norm(a) / np.linalg.norm(b))
    plain /= plain.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(word_probabilities(classes, words, 9.0), plain, rtol=1e-5)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_unique_words_are_unique_and_jointly_most_probable(
    rows: int, columns: int, seed: int, one_taken: bool
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(columns), rows)
    taken = [0] if one_taken else []
    chosen = best_words(probabilities, unique=True, taken=taken)
    words = [word for word in chosen if word is not None]
    assert len(set(words)) == len(words) == min(rows, columns - len(taken))
    assert not set(words) & set(taken)
    free = [word for word in range(columns) if word not in taken]
    if rows <= len(free):
        best = max(
            np.log(probabilities[range(rows), list(each)]).sum()
            for each in permutations(free, rows)
        )
        assert np.log(probabilities[range(rows), words]).sum() == pytest.approx(best)


def test_words_are_read_without_comments_and_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffroad # grey\n# nothing\n\n traffic   light\nRoad\n", encoding="utf-8")
    assert read_words(path) == ("road", "traffic light")
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    for content, said in [(b"# x\n\n", "contains no words"), (b"\xff\xfe", "is not UTF-8 text")]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            read_words(path)
    path.write_text("x" * 81)
    with pytest.raises(UserError, match="at most 80 characters"):
        read_words(path)
    with pytest.raises(UserError, match="No such file"):
        read_words(tmp_path / "none.txt")
