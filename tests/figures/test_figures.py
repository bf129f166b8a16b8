"""What is drawn, and the files."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from segdistill.evaluation.confusion import Scores
from segdistill.figures.colouring import Picture, Rgba, painted
from segdistill.figures.comparison import comparison_figure, fitted
from segdistill.figures.iou import iou_figure
from segdistill.figures.legend import legend_figure
from segdistill.figures.style import (
    DOTS_PER_INCH,
    STYLE,
    TEXT_WIDTH,
    inline_svg,
    new_figure,
    paper_style,
    write_figure,
)

COLOURS: list[Rgba] = [(200, 30, 40, 255), (20, 60, 220, 255)]
HOSTILE = "$\\frac{1}$ %s \u5199\u771f & <b>"


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def mask(height: int, width: int) -> np.ndarray:
    return (np.arange(width) >= width // 2).astype(np.uint8)[None].repeat(height, axis=0)


def grid(sizes: list[tuple[int, int]]) -> list[tuple[str, list[Picture | None]]]:
    return [
        ("Image", [photo(*size) for size in sizes]),
        ("Label", [None, *(painted(mask(*size), COLOURS) for size in sizes[1:])]),
        (HOSTILE, [painted(mask(*size), COLOURS) for size in sizes]),
    ]


def written(figure: Figure, folder: Path, *formats: str) -> list[Path]:
    return write_figure(figure, folder, "figure", formats)  # type: ignore[arg-type]


def test_pictures_are_printed_pixel_by_pixel(tmp_path: Path) -> None:
    rows = grid([(60, 80), (80, 60), (50, 50), (30, 90)])
    with paper_style():
        figure = comparison_figure(rows, columns=3)
        path = written(figure, tmp_path, "png")[0]
    assert len(figure.axes) == 11
    with Image.open(path) as file:
        assert file.info["dpi"] == pytest.approx((DOTS_PER_INCH, DOTS_PER_INCH), abs=0.01)
        page = np.array(file.convert("RGB"))
    assert page.shape[1] <= TEXT_WIDTH * DOTS_PER_INCH
    for axes in figure.axes:
        shown = np.array(axes.images[0].get_array())
        box = axes.get_position()
        left, top = round(box.x0 * page.shape[1]), round((1 - box.y1) * page.shape[0])
        part = page[top : top + shown.shape[0], left : left + shown.shape[1]]
        np.testing.assert_array_equal(part, shown[..., :3])


@pytest.mark.parametrize("size", [(7, 9), (500, 700)])
def test_masks_keep_their_edges_where_they_are(size: tuple[int, int]) -> None:
    shown = fitted(painted(mask(*size), COLOURS), 64, 48)
    assert shown.shape == (48, 64, 4)
    edge = round((size[1] // 2) / size[1] * 64)
    assert (shown[:, : edge - 1, :3] == COLOURS[0][:3]).all()
    assert (shown[:, edge + 1 :, :3] == COLOURS[1][:3]).all()


def test_svg_and_pdf_hold_real_text_and_are_repeatable(tmp_path: Path) -> None:
    with paper_style():
        for folder in (tmp_path / "a", tmp_path / "b"):
            figure = comparison_figure(grid([(20, 30), (20, 20)]), columns=2)
            written(figure, folder, "svg", "pdf")
    text = (tmp_path / "a/figure.svg").read_text(encoding="utf-8")
    assert "$\\frac{1}$ %s 写真 &amp; &lt;b&gt;</text>" in text
    assert re.search(r"<text[^>]*>Image</text>", text)
    assert text.count("<image ") == 5
    for suffix in ("svg", "pdf"):
        one, other = ((tmp_path / each / f"figure.{suffix}").read_bytes() for each in "ab")
        assert one == other
    assert b"/FontType 3" not in (tmp_path / "a/figure.pdf").read_bytes()


def test_a_legend_keeps_to_its_width() -> None:
    entries = [((9, 9, number), f"name {number}" * (number % 4 + 1)) for number in range(23)]
    with paper_style():
        figure = legend_figure(entries, width=3.25)
        assert figure.get_figwidth() <= 3.25
        boxes = [text.get_window_extent() for text in figure.texts]
        assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 1
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:number])
        alone = legend_figure([((9, 9, 9), "x" * 200)], width=0.5)
    assert alone.texts[0].get_text().endswith("…")


@pytest.mark.parametrize("count", [1, 5, 9])
def test_no_name_of_a_legend_is_clipped(tmp_path: Path, count: int) -> None:
    entries = [((9, 9, number), "pedestrian" * (1 + number % 2)) for number in range(count)]
    with paper_style():
        (path,) = write_figure(legend_figure(entries), tmp_path, "legend", ["png"])
    with Image.open(path) as image:
        drawn = np.array(image.convert("L")) < 250
    assert drawn.any()
    assert not drawn[:, -5:].any()
    assert not drawn[[0, -1]].any()


def test_bars_hold_the_scores() -> None:
    series = {
        "k-means": Scores(0.5, 0.25, (0.25, float("nan")), (0, 1), 9),
        "Segments": Scores(0.5, 0.3125, (0.5, 0.125), (0, 1), 9),
    }
    with paper_style():
        axes = iou_figure(series, ["sky", HOSTILE], COLOURS).axes[0]
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [25, 0, 50, 12.5]
    assert [text.get_text() for text in axes.texts] == ["25.0", "–", "50.0", "12.5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sky", HOSTILE]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "k-means (mIoU 25.0)",
        "Segments (mIoU 31.2)",
    ]


def test_charts_of_a_page_fit_its_theme_and_are_unique() -> None:
    scores = Scores(0.5, 0.5, (0.5, 0.25), (0, 1), 9)
    with paper_style():
        svg = inline_svg(iou_figure({"<b>": scores}, ["sky", HOSTILE], COLOURS), "iou", 'a "b"')
    assert svg.startswith('<svg class="chart" role="img" aria-label="a &quot;b&quot;" viewBox=')
    assert "var(--line-0)" in svg
    assert "<b>" not in svg
    assert "http" not in svg
    assert "<style" not in svg
    assert "Helvetica" not in svg
    identities = re.findall(r' id="([^"]*)"', svg)
    assert len(set(identities)) == len(identities)
    assert all(each.startswith("iou-") for each in identities)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', svg)) <= set(identities)


def test_global_settings_stay_as_they_are(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    with paper_style():
        assert mpl.rcParams["svg.fonttype"] == STYLE["svg.fonttype"]
        written(new_figure(1, 1), tmp_path, "png", "svg")
    assert dict(mpl.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
