import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import TinyBackbone, striped_image, write_striped_folder
from tests.report.pages import Page, check_accessible, check_self_contained, read_page

from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.folder import ImageFile, find_images
from segdistill.model.description import SegmentClass, SegmenterSettings
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.report.gallery import SHOWN_IMAGES
from segdistill.report.page import MEASURED_IMAGES, write_report
from segdistill.report.rendering import LISTED_SKIPS
from segdistill.runs.facts import AgreementRecord, ClassCount, Facts, SkippedFile
from segdistill.runs.history import StepRecord

NAMES = ("sky", "stone", "grass & <b>moss</b>", "nowhere")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    # Blue, grey, green, and a fourth that no picture comes near to.
    colours = torch.tensor([[70, 120, 220], [130, 130, 130], [60, 150, 50], [-1, -1, -1]])
    centres = torch.cat([colours.float(), torch.zeros(4, 3)], dim=1)
    classes = tuple(
        SegmentClass(index, name, (40 * index, 90, 200)) for index, name in enumerate(NAMES)
    )
    backbone = TinyBackbone()
    return Segmenter(
        backbone, FeaturePreparation((3, 3)), None, centres, SegmenterSettings(64, classes)
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFile]:
    return find_images(write_striped_folder(tmp_path_factory.mktemp("photos") / "pictures"))


def some_history(steps: int = 30) -> list[StepRecord]:
    return [StepRecord(s, 1 / s, -0.1 * s, 0.2, 0.3, -1 + 1 / s) for s in range(1, steps + 1)]


FACTS = Facts(
    images=6,
    seconds={"features": 2.0, "training": 80.0},
    shifts=Shifts(self_pairs=0.125, neighbour_pairs=0.0625, random_pairs=0.5),
)


def report_on(
    folder: Path,
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    history: Sequence[StepRecord] | None = None,
    method: Literal["stego", "kmeans"] = "stego",
    **facts: Any,
) -> Page:
    path = folder / "my run" / "report.html"
    write_report(
        path,
        segmenter,
        files,
        history=some_history() if history is None else history,
        settings=FitSettings(method=method),
        facts=replace(FACTS, **facts),
    )
    assert list(path.parent.iterdir()) == [path]
    return read_page(path)


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory, segmenter: Segmenter, pictures: list[ImageFile]
) -> Page:
    """The report of a usual fit."""
    return report_on(tmp_path_factory.mktemp("report"), segmenter, pictures)


def test_page_needs_nothing_else(plain: Page) -> None:
    check_self_contained(*plain)


def test_page_holds_every_class_and_file(plain: Page, pictures: list[ImageFile]) -> None:
    reader = plain.reader
    words = reader.words()
    for name in NAMES:
        assert name in words
    for file in pictures:
        assert file.name.as_posix() in words
        alts = [alt for alt in reader.attributes("img", "alt") if alt.startswith(str(file.name))]
        assert len(alts) == 1
        assert re.search(r"sky \d+%", alts[0])
        assert "nowhere" not in alts[0]
    assert "Not found in these images" in words
    assert "6 of 6" in words
    assert "6 images without labels, sorted into 4 classes" in words
    assert "1 min 22 s" in words.replace("\N{NO-BREAK SPACE}", " ")
    assert "segdistill segment" in words
    assert "my run' MORE_IMAGES" in words


def test_page_can_be_used_without_seeing_or_pointing(plain: Page) -> None:
    check_accessible(*plain)
    assert "prefers-reduced-motion" in plain.text


def test_everything_given_is_escaped(tmp_path: Path, segmenter: Segmenter) -> None:
    hostile = "<script>alert(1)<／script>\"'&<img src=x onerror=alert(2)>"
    picture = tmp_path / "pictures" / f"{hostile}.png"
    picture.parent.mkdir()
    Image.fromarray(striped_image(0)).save(picture)
    reason = "</td><script>alert(3)</script>"
    page, reader = report_on(
        tmp_path / "<b>run",
        segmenter,
        find_images(picture.parent),
        skipped=(SkippedFile(hostile, f"{hostile}: {reason}"),),
    )
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert "b" not in [tag for tag, _ in reader.tags]
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]
    assert "<script>alert" not in page
    assert hostile in reader.text
    assert reason in reader.text


def test_page_allows_its_own_script_only(plain: Page) -> None:
    reader = plain.reader
    policy = next(text for text in reader.attributes("meta", "content") if "default-src" in text)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_names_that_are_no_text_do_not_cost_the_report(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    reader = report_on(
        tmp_path, segmenter, [], skipped=(SkippedFile("caf\udce9.jpg", "no image"),)
    )[1]
    assert "caf?.jpg" in reader.text


def test_training_is_shown(plain: Page) -> None:
    reader = plain.reader
    assert [tag for tag, _ in reader.tags].count("svg") == 5
    words = reader.words()
    for title in ("Total", "Self", "Neighbour", "Random", "Cluster probe"):
        assert title in words
    assert "Training ended" not in words
    assert "0.0625" in words
    assert "objective.weight_self" in words


def test_agreement_and_the_kept_step_are_shown(
    tmp_path: Path, segmenter: Segmenter, pictures: list[ImageFile]
) -> None:
    agreement = (AgreementRecord(10, 0.6), AgreementRecord(30, 0.5))
    _, reader = report_on(tmp_path, segmenter, pictures, agreement_history=agreement, kept_step=10)
    words = reader.words()
    assert "Training ended at step 30; best codes from step 10." in words
    assert "First Highest Last 0.6 step 10 0.6 step 10 0.5 step 30" in words
    assert [tag for tag, _ in reader.tags].count("svg") == 6


def test_kmeans_has_no_curves(
    tmp_path: Path, segmenter: Segmenter, pictures: list[ImageFile]
) -> None:
    _, reader = report_on(tmp_path, segmenter, pictures, history=[], method="kmeans", shifts=None)
    assert "svg" not in [tag for tag, _ in reader.tags]
    assert "no loss curves" in reader.words()
    assert "Shifts" not in reader.words()


def test_how_the_number_of_classes_was_found_is_shown(
    tmp_path: Path, segmenter: Segmenter, pictures: list[ImageFile], plain: Page
) -> None:
    count = ClassCount(
        chosen=6,
        coarse=3,
        fine=24,
        confidence="high",
        candidates=(3, 6, 7, 22),
        stability=(0.95, 0.9, 0.5, -0.1),
        silhouette=(0.7, 0.6, 0.65, 0.61),
        needed=0.8,
    )
    _, reader = report_on(tmp_path, segmenter, pictures, class_count=count)
    words = reader.words()
    assert "The fit chose 6 (level medium)" in words
    assert "Confidence: high" in words
    assert "3 (coarse) 0.95 0.70" in words
    assert "6 (medium) 0.90 0.60" in words
    assert "22 -0.10 0.61" in words
    assert "How many classes?" in words
    assert [tag for tag, _ in reader.tags].count("svg") == 6
    unsure = replace(count, chosen=12, confidence="none")
    words = report_on(tmp_path, segmenter, pictures, class_count=unsure)[1].words()
    assert "none stands out" in words
    assert "the default, 12" in words
    # Runs of earlier versions know only one number.
    old = replace(count, coarse=0, fine=0)
    reader = report_on(tmp_path, segmenter, pictures, class_count=old)[1]
    assert "The fit chose 6" in reader.words()
    assert "How many classes?" not in plain.reader.words()


def test_skipped_files_are_listed(
    tmp_path: Path, segmenter: Segmenter, pictures: list[ImageFile], plain: Page
) -> None:
    many = tuple(
        SkippedFile(f"/photos/{n}.jpg", f"/photos/{n}.jpg: the file is empty")
        for n in range(LISTED_SKIPS + 5)
    )
    words = report_on(tmp_path, segmenter, pictures, skipped=many)[1].words()
    assert f"{len(many)} images could not be read" in words
    assert "/photos/0.jpg the file is empty" in words
    assert "5 more files: see facts.json" in words
    none = plain.reader.words()
    assert "None: all images were read" in none
    assert "could not be read" not in none


def test_a_full_store_is_reported_with_a_fix(
    tmp_path: Path, segmenter: Segmenter, pictures: list[ImageFile], plain: Page
) -> None:
    words = report_on(tmp_path, segmenter, pictures, maps_not_stored=3)[1].words()
    assert "no room for 3 feature maps" in words
    assert "--cache.max-gigabytes" in words
    assert "feature store" not in plain.reader.words()


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (1, 1), (40, 2000)])
@pytest.mark.parametrize("mode", ["RGB", "L", "LA"])
def test_odd_images(tmp_path: Path, segmenter: Segmenter, size: tuple[int, int], mode: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = Image.fromarray(striped_image(0)).convert(mode).resize(size[::-1])
    picture.save(folder / "odd.png")
    _, reader = report_on(tmp_path, segmenter, find_images(folder))
    assert "1 image, evenly spaced" in reader.words()
    assert len(reader.attributes("img", "src")) >= 3


def test_images_that_have_gone_are_left_out(
    tmp_path: Path, segmenter: Segmenter, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = find_images(write_striped_folder(tmp_path / "pictures"))
    pictures[0].path.unlink()
    with caplog.at_level(logging.WARNING, "segdistill"):
        words = report_on(tmp_path, segmenter, pictures)[1].words()
    assert "Shares are measured on 5 images" in words
    assert str(pictures[0].path) in caplog.text
    for file in pictures[1:]:
        file.path.unlink()
    assert "None of the images" in report_on(tmp_path, segmenter, pictures)[1].words()


def test_many_large_images_make_a_page_of_bounded_size(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    # Noise is hard on JPEG.
    noise = random.integers(0, 256, (240, 320, 3), np.uint8)
    Image.fromarray(noise).resize((660, 495)).save(folder / "0.jpg")
    first = find_images(folder)[0]
    files = [ImageFile(first.path, Path(f"{number}.jpg")) for number in range(60)]
    page, reader = report_on(tmp_path, segmenter, files)
    assert len(page.encode()) < 4_000_000
    assert f"Shares are measured on {MEASURED_IMAGES} images" in reader.words()
    assert len(reader.attributes("figure", "style")) == SHOWN_IMAGES


def test_a_report_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file exists where a folder is needed"):
        report_on(tmp_path / "file", segmenter, [])
