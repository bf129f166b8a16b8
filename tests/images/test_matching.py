"""Images and the files that accompany them are matched by name."""

from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.images.matching import Suffixes, find_suffixes, match_labels

Form = Literal["NFC", "NFD"]
NAME = "Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich"


def files(*names: str) -> list[ImageFile]:
    return [ImageFile(Path(name), Path(name)) for name in names]


def names_of(pairs: list[tuple[ImageFile, ImageFile]]) -> list[tuple[str, str]]:
    return [(image.name.as_posix(), label.name.as_posix()) for image, label in pairs]


def test_any_format_matches() -> None:
    pairs = match_labels(files("a/x.jpg", "y.jpg"), files("y.png", "x.png"))
    assert names_of(pairs) == [("y.jpg", "y.png")]
    with pytest.raises(UserError, match="same name"):
        match_labels(files("a.jpg"), files("b.png"))


@pytest.mark.parametrize("labels", [("a.png", "a.tif"), ("a.png", "a.jpg.png"), ("a.npy", "a.PNG")])
def test_two_files_of_one_image_are_named(labels: tuple[str, str]) -> None:
    with pytest.raises(UserError) as caught:
        match_labels(files("a.jpg"), files(*labels))
    for name in (*labels, "a.jpg"):
        assert name in str(caught.value)


def test_two_images_of_one_file_are_told(caplog: pytest.LogCaptureFixture) -> None:
    pairs = match_labels(files("a.jpg", "a.tif", "b.jpg"), files("a.png", "b.png"))
    assert names_of(pairs) == [("a.jpg", "a.png"), ("a.tif", "a.png"), ("b.jpg", "b.png")]
    assert "a.jpg and a.tif share one label file, a.png; " in caplog.text
    assert caplog.text.rstrip().endswith("rename it to a.jpg.png or a.tif.png")
    caplog.clear()
    match_labels(files("a.jpg", "a.tif"), files("a.jpg.png", "a.tif.png"))
    assert not caplog.text


@pytest.mark.parametrize(("image", "label"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_have_one_unicode_form(image: Form, label: Form) -> None:
    one, other = normalize(image, f"{NAME}.jpg"), normalize(label, f"{NAME}.png")
    assert names_of(match_labels(files(one), files(other))) == [(one, other)]
    whole = normalize(label, f"{NAME}.jpg.png")
    assert names_of(match_labels(files(one), files(whole))) == [(one, whole)]


def test_two_unicode_forms_of_one_name_are_two_files() -> None:
    forms = [normalize("NFC", f"{NAME}.png"), normalize("NFD", f"{NAME}.png")]
    with pytest.raises(UserError, match="both are label files"):
        match_labels(files(f"{NAME}.jpg"), files(*forms))


def test_files_without_the_suffix_are_left_out() -> None:
    images = files("x/s_1_leftImg8bit.png", "x/s_2_leftImg8bit.png", "x/s_3_other.png")
    labels = files(*(f"x/s_{n}_gtFine_{kind}.png" for n in "123" for kind in ("color", "labelIds")))
    suffixes = Suffixes("_leftImg8bit", "_gtFine_labelIds")
    assert names_of(match_labels(images, labels, suffixes=suffixes)) == [
        ("x/s_1_leftImg8bit.png", "x/s_1_gtFine_labelIds.png"),
        ("x/s_2_leftImg8bit.png", "x/s_2_gtFine_labelIds.png"),
    ]
    both = Suffixes("_leftImg8bit", "_gtFine_labelIds.png")  # with that of the format
    assert match_labels(images, labels, suffixes=both) == match_labels(
        images, labels, suffixes=suffixes
    )
    with pytest.raises(UserError, match="label files that end in '_mask'"):
        match_labels(images, labels, suffixes=Suffixes("", "_mask"))


def test_suffixes_are_found_where_all_images_match() -> None:
    images = files("s_1_leftImg8bit.png", "s_2_leftImg8bit.png")
    ids = files("s_1_gtFine_labelIds.png", "s_2_gtFine_labelIds.png")
    colours = files("s_1_gtFine_color.png", "s_2_gtFine_color.png")
    assert find_suffixes(images, ids) == [Suffixes("_leftImg8bit", "_gtFine_labelIds")]
    assert len(find_suffixes(images, ids + colours)) == 2
    assert find_suffixes(images, ids[:1] + colours[1:]) == []


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (("a_1.png",), ("a_2.png",)),  # another picture
        (("1.png", "2.png"), ("10.png", "20.png")),
        (("a.png", "b.png"), ("amask.png", "b_mask.png")),
        (("a.png",), ("x/a_mask.png",)),
    ],
)
def test_what_is_no_suffix(images: tuple[str, ...], labels: tuple[str, ...]) -> None:
    assert find_suffixes(files(*images), files(*labels)) == []
