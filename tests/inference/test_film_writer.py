"""Written films: colours and shapes that every player shows alike."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segdistill.inference.film_writer import FilmFormat, film_writer

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [230, 230, 40]], np.uint8)


@pytest.mark.parametrize("side", [32, 400])
def test_colours_are_those_that_were_written(tmp_path: Path, side: int) -> None:
    """Whatever the size, by which players guess where a film does not say."""
    picture = np.repeat(np.broadcast_to(COLOURS, (side, 4, 3)), side, axis=1)
    shown = FilmFormat(Fraction(10), Fraction(1, 10), Fraction(4, 3))
    with film_writer(tmp_path / "a.mp4", shown) as writer:
        for time in range(3):
            writer.add(picture, time)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        context = stream.codec_context
        # BT.709, levels from 16.
        described = (context.colorspace, context.color_primaries, context.color_trc)
        assert (*described, context.color_range) == (1, 1, 1, 1)
        for frame in container.decode(stream):
            found = frame.to_ndarray(format="rgb24")[side // 2, side // 2 :: side]
            assert np.abs(found.astype(int) - COLOURS).max() < 8
