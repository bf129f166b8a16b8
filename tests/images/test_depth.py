from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.depth import (
    DepthKind,
    DepthSettings,
    check_depth_size,
    depth_from_values,
    normalise_depth,
    read_depth,
)
from segdistill.images.depth_reading import UnreadableDepthError, read_depth_values

VALUES = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [120, 121, 122, 123]])


def write(path: Path, values: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "factor"),
    [
        ("a.png", np.uint8, 1),
        ("a.png", np.uint16, 500),
        ("a.tif", np.uint8, 1),
        ("a.TIFF", np.uint16, 500),
        ("a.tif", np.int32, 10_000),
        ("a.tif", np.float32, 0.25),
        ("a.npy", np.uint8, 1),
        ("a.npy", np.int64, 10_000),
        ("a.npy", np.float16, 0.25),
        ("a.npy", np.float32, 0.25),
        ("a.npy", np.float64, 0.25),
        ("a.npy", np.dtype(">f4"), 0.25),
    ],
)
def test_numbers_come_back_as_they_were_stored(
    tmp_path: Path, name: str, dtype: type, factor: float
) -> None:
    values: NDArray[np.generic] = (VALUES * factor).astype(dtype)
    read = read_depth_values(write(tmp_path / name, values))
    np.testing.assert_array_equal(read, VALUES * factor)
    depth = read_depth(tmp_path / name)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, VALUES / VALUES.max(), atol=1e-6)


def test_numbers_that_pillow_reads_with_the_other_sign(tmp_path: Path) -> None:
    signed = write(tmp_path / "unsigned.tif", np.array([[-5, 7]], np.int32)).read_bytes()
    sample_format = (339).to_bytes(2, "little") + b"\3\0\1\0\0\0"  # one number of two bytes
    assert signed.count(sample_format + b"\2") == 1
    unsigned = signed.replace(sample_format + b"\2", sample_format + b"\1")
    (tmp_path / "unsigned.tif").write_bytes(unsigned)
    read = read_depth_values(tmp_path / "unsigned.tif")
    np.testing.assert_array_equal(read, [[2**32 - 5, 7]])
    image = Image.fromarray(np.array([[251, 7]], np.uint8))
    image.save(tmp_path / "signed.tif", tiffinfo={339: 2})
    np.testing.assert_array_equal(read_depth_values(tmp_path / "signed.tif"), [[-5, 7]])


def test_what_a_geotiff_says_is_no_data_is_unknown(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[-9999, 7, 9]], np.float32))
    image.save(tmp_path / "height.tif", tiffinfo={42113: "-9999"})
    heights = read_depth(tmp_path / "height.tif", DepthSettings("height"))
    np.testing.assert_array_equal(heights, [[np.nan, 1, 0]])


def test_one_channel_may_be_said_outright_or_threefold(tmp_path: Path) -> None:
    for shape in ((1, 3, 4), (3, 4, 1)):
        read = read_depth_values(write(tmp_path / "a.npy", VALUES.reshape(shape)))
        np.testing.assert_array_equal(read, VALUES)
    grey = np.repeat(VALUES.astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_depth_values(write(tmp_path / "a.png", grey)), VALUES)


def damaged_files(folder: Path) -> dict[str, Path]:
    picture = write(folder / "cut.png", VALUES.astype(np.uint16))
    picture.write_bytes(picture.read_bytes()[:-30])
    array = write(folder / "cut.npy", VALUES.astype(np.float32))
    array.write_bytes(array.read_bytes()[:-8])
    pickled = folder / "pickled.npy"
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    huge = folder / "huge.npy"
    huge.write_bytes(
        write(folder / "small.npy", VALUES)
        .read_bytes()
        .replace(b"(3, 4), }      ", b"(30000, 4000000)")
    )
    return {
        "cut.png": picture,
        "cut.npy": array,
        "pickled.npy": pickled,
        "huge.npy": huge,
        "missing.png": folder / "missing.png",
        "empty.npy": write_bytes(folder / "empty.npy", b""),
        "empty.tif": write_bytes(folder / "empty.tif", b""),
        "text.png": write_bytes(folder / "text.png", b"depth"),
        "text.npy": write_bytes(folder / "text.npy", b"depth"),
        "zip.npy": write_bytes(folder / "zip.npy", b"PK\x03\x04 no archive"),
        "bool.npy": write(folder / "bool.npy", VALUES > 3),
        "words.npy": write(folder / "words.npy", np.array([["a"]])),
        "volume.npy": write(folder / "volume.npy", np.zeros((2, 3, 4))),
        "no_pixels.npy": write(folder / "no_pixels.npy", np.zeros((0, 4))),
        "colours.png": write(
            folder / "colours.png", np.random.default_rng(0).integers(0, 9, (4, 5, 3)).astype("u1")
        ),
    }


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_depth_map_is_named(tmp_path: Path) -> None:
    for name, path in damaged_files(tmp_path).items():
        with pytest.raises(UnreadableDepthError, match=name):
            read_depth(path)


def test_a_text_is_no_depth_map(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not found")
    message = r"a\.png: cannot be read as depth \(not an image that can be decoded\)$"
    with pytest.raises(UnreadableDepthError, match=message):
        read_depth(tmp_path / "a.png")


def test_an_archive_of_arrays_is_no_depth_map(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", VALUES)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(UnreadableDepthError, match=r"a\.npy: cannot be read as depth"):
        read_depth(tmp_path / "a.npy")


def test_a_map_is_turned_upright_like_its_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(VALUES.astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_depth_values(tmp_path / "a.png"), np.rot90(VALUES, -1))


@pytest.mark.parametrize("kind", ["depth", "inverse", "height"])
def test_nearest_is_0_and_farthest_1(kind: DepthKind) -> None:
    depth = depth_from_values(np.array([[2.0, 4.0, 3.0]]), DepthSettings(kind))
    expected = [[0, 1, 0.5]] if kind == "depth" else [[1, 0, 0.5]]
    np.testing.assert_array_equal(depth, expected)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (DepthSettings("depth", "metric", scale=1 / 256), [0, 1, 64, 256]),
        (DepthSettings("depth", "metric", scale=1 / 256, max_depth=80), [0, 1, 64, 80]),
        (DepthSettings("inverse", "metric", scale=65536), [np.nan, 256, 4, 1]),
        (DepthSettings("inverse", "metric", scale=65536, max_depth=100), [100, 100, 4, 1]),
        (DepthSettings("height", "metric", scale=0.5, max_depth=8192), [8192, 8064, 0, 0]),
    ],
)
def test_metric_depth_is_in_units(settings: DepthSettings, expected: list[float]) -> None:
    depth = depth_from_values(np.array([[0, 256, 16384, 65536]]), settings)
    np.testing.assert_allclose(depth[0], expected)


def test_unknown_pixels_are_nan_and_take_no_part() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -1, 0, 65535, 10, 20]])
    depth = depth_from_values(values, DepthSettings(invalid=(0, 65535)))
    np.testing.assert_array_equal(depth[0], [np.nan] * 6 + [0, 1])
    metric = depth_from_values(values, DepthSettings(normalisation="metric", max_depth=15))
    np.testing.assert_array_equal(metric[0], [np.nan] * 4 + [0, 15, 10, 15])


def test_ground_below_zero_has_a_height() -> None:
    depth = depth_from_values(np.array([[-2.0, 0.0, -1.0]]), DepthSettings("height"))
    np.testing.assert_array_equal(depth, [[1, 0, 0.5]])


@pytest.mark.parametrize("value", [0.0, 3.5, -7.0, 1e9])
def test_a_constant_map_is_in_the_middle(value: float) -> None:
    depth = np.full((3, 4), value)
    depth[0, 0] = np.nan
    expected = np.full((3, 4), 0.5)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(normalise_depth(depth), expected)


def test_a_map_of_unknown_pixels_stays_unknown() -> None:
    assert np.isnan(normalise_depth(np.full((3, 4), np.nan))).all()


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
    st.floats(0.01, 100),
    st.floats(-100, 100),
)
def test_normalising_forgets_scale_and_shift(
    depth: NDArray[np.float32], scale: float, shift: float
) -> None:
    # Two values whose difference is not lost in rounding.
    depth[0, 0], depth[0, 1] = -101, 101
    normalised = normalise_depth(depth)
    assert normalised.min() == 0
    assert normalised.max() == 1
    np.testing.assert_allclose(
        normalise_depth(depth.astype(np.float64) * scale + shift), normalised, atol=1e-5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0},
        {"scale": float("nan")},
        {"max_depth": -1.0},
        {"max_depth": float("inf")},
        {"kind": "height", "normalisation": "metric"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"must be above 0|need the camera height"):
        DepthSettings(**wrong)  # type: ignore[arg-type]


def test_a_map_of_another_shape_than_its_image_is_refused() -> None:
    path = Path("depth/a.png")
    check_depth_size(path, (120, 160), (360, 480))
    check_depth_size(path, (119, 160), (361, 479))
    with pytest.raises(UserError, match=r"a\.png: 160 x 120 pixels, but its image has 360 x 480"):
        check_depth_size(path, (120, 160), (480, 360))


@pytest.mark.data
def test_depth_of_camvid(real_data: Path) -> None:
    path = next((real_data / "camvid/depth/train").glob("*.png"))
    depth = read_depth(path)
    assert depth.shape == (120, 160)
    assert depth.min() == 0
    assert depth.max() == 1
    # The road before the car is nearer than what stands above it.
    assert depth[-10:].mean() < depth[40:50].mean() - 0.2
