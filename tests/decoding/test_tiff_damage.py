"""TIFFs that are cut off."""

from pathlib import Path

import numpy as np
import pytest

from segdistill.decoding.decode import decode_image
from segdistill.errors import UnreadableImageError
from segdistill.images.depth_reading import UnreadableDepthError, read_depth_values

rasterio = pytest.importorskip("rasterio")


@pytest.fixture(params=[{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def compressed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(256, size=(1, 128, 128), dtype=np.uint8)
    shape = {"height": 128, "width": 128, "count": 1, "dtype": "uint8", "compress": "lzw"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **request.param) as file:
        file.write(noise)
    np.testing.assert_array_equal(decode_image(path.read_bytes(), name="a.tif")[:, :, 0], noise[0])
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_cut_tiff_is_told_without_lines_of_libtiff(
    compressed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = compressed.read_bytes()
    compressed.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError, match=r"^a\.tif: damaged or truncated \(it ends too"):
        decode_image(compressed.read_bytes(), name="a.tif")
    with pytest.raises(UnreadableDepthError, match=r"cannot be read as depth \(it ends too early"):
        read_depth_values(compressed)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_numbers_of_a_decoder_are_not_shown(compressed: Path) -> None:
    content = bytearray(compressed.read_bytes())
    content[-3000:] = b"\xff" * 3000
    with pytest.raises(UnreadableImageError, match=r"^a\.tif: damaged or truncated$"):
        decode_image(bytes(content), name="a.tif")
