"""Places of pictures: they fill the width, keep their shape and do not overlap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from segdistill.figures.comparison import BETWEEN, GAP, MARGIN, WIDTH, grid_panels

ASPECTS = st.lists(st.lists(st.floats(0.3, 4.0), min_size=1, max_size=6), min_size=1, max_size=3)


@given(ASPECTS, st.integers(1, 5))
def test_pictures_keep_their_shape_and_their_distance(bands: list[list[float]], rows: int) -> None:
    tallest = 600
    below = -BETWEEN
    for aspects, band in zip(bands, grid_panels(bands, rows, tallest), strict=True):
        assert len(band) == rows
        assert band[0][0].top == below + BETWEEN
        for number, panels in enumerate(band):
            heights = {panel.height for panel in panels}
            assert len(heights) == 1
            assert max(heights) <= tallest
            for aspect, panel in zip(aspects, panels, strict=True):
                assert abs(panel.width - aspect * panel.height) <= 0.5
            for left, after in pairwise(panels):
                assert after.left == left.left + left.width + GAP
            assert panels[0].left == MARGIN
            right = panels[-1].left + panels[-1].width
            assert right <= WIDTH + len(panels)
            if max(heights) < tallest:
                # Heights are whole pixels: what is lost is less than one of them.
                assert right > WIDTH - sum(aspects) - len(panels)
            if number:
                assert panels[0].top == below + GAP
            below = panels[0].top + panels[0].height
