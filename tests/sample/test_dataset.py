"""The sample data set: files on disk, and the rendered world behind them."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segdistill.sample.dataset import DEPTH_STEPS_PER_METRE, scene_seeds, write_sample
from segdistill.sample.geometry import Frame, Solid, block
from segdistill.sample.layout import Layout
from segdistill.sample.scene import CLASSES, FAR, Scene, render_scene

SKY, GROUND, ROAD, TREE, BUILDING, CAR = range(6)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> NDArray[np.generic]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "set"
    return write_sample(root, train=3, val=2, width=48, height=32, seed=4)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(seed, 80, 60) for seed in scene_seeds(0, "train", 16)]


def test_layout_and_counts(sample: Path) -> None:
    expected = {"classes.txt", "README.txt"}
    for (folder, suffix), (split, count) in itertools.product(
        (("imgs", "jpg"), ("labels", "png"), ("depth", "png")), (("train", 3), ("val", 2))
    ):
        expected |= {f"{folder}/{split}/scene_{index:04d}.{suffix}" for index in range(count)}
    assert set(digests(sample)) == expected
    assert (sample / "classes.txt").read_text().split() == list(CLASSES)


def test_readme_gives_seed_units_and_command(sample: Path) -> None:
    text = (sample / "README.txt").read_text()
    assert "seed 4" in text
    assert "1/256 m" in text
    assert "segdistill sample DIR --train 3 --val 2 --width 48 --height 32 --seed 4" in text


def test_files_hold_what_the_renderer_gave(sample: Path) -> None:
    (seed,) = scene_seeds(4, "val", 1)
    scene = render_scene(seed, 48, 32)
    labels = pixels(sample / "labels/val/scene_0000.png")
    np.testing.assert_array_equal(labels, scene.labels)
    depth = pixels(sample / "depth/val/scene_0000.png")
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(
        depth.astype(np.float64) / DEPTH_STEPS_PER_METRE, scene.depth, atol=0.51 / 256
    )
    assert depth.max() == round(FAR * DEPTH_STEPS_PER_METRE)
    image = pixels(sample / "imgs/val/scene_0000.jpg").astype(np.float64)
    assert image.shape == (32, 48, 3)
    assert np.abs(image - scene.image).mean() < 12  # all that JPEG may change


def test_same_seed_gives_identical_files(sample: Path, tmp_path: Path) -> None:
    again = write_sample(tmp_path / "again", train=3, val=2, width=48, height=32, seed=4)
    assert digests(again) == digests(sample)


def test_other_seed_gives_other_pictures(sample: Path, tmp_path: Path) -> None:
    other = write_sample(tmp_path / "other", train=1, val=0, width=48, height=32, seed=5)
    name = "imgs/train/scene_0000.jpg"
    assert digests(other)[name] != digests(sample)[name]


def test_a_larger_set_begins_with_the_smaller(sample: Path, tmp_path: Path) -> None:
    small = write_sample(tmp_path / "small", train=1, val=1, width=48, height=32, seed=4)
    large = digests(sample)
    for name, digest in digests(small).items():
        if name != "README.txt":
            assert large[name] == digest


def test_splits_share_no_seed() -> None:
    train, val = set(scene_seeds(0, "train", 500)), set(scene_seeds(0, "val", 500))
    assert len(train) == len(val) == 500
    assert not train & val


def test_progress_counts_every_scene(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_sample(
        tmp_path / "set",
        train=2,
        val=1,
        width=32,
        height=32,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="name a new folder") as caught:
        write_sample(tmp_path, train=1, val=0, width=32, height=32)
    assert str(tmp_path) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_refuses_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(FileExistsError, match="name a new folder"):
        write_sample(tmp_path / "set", train=1, val=0, width=32, height=32)


def test_writes_into_an_empty_folder(tmp_path: Path) -> None:
    write_sample(tmp_path, train=1, val=0, width=32, height=32)
    assert (tmp_path / "imgs/train/scene_0000.jpg").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": -1}, "0 or more"),
        ({"val": -1}, "0 or more"),
        ({"train": 0, "val": 0}, "not both 0"),
        ({"width": 31}, "32 pixels"),
        ({"height": 31}, "32 pixels"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(
    tmp_path: Path, change: dict[str, int], message: str
) -> None:
    arguments = {"train": 1, "val": 1, "width": 32, "height": 32, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        write_sample(
            tmp_path / "set",
            train=arguments["train"],
            val=arguments["val"],
            width=arguments["width"],
            height=arguments["height"],
            seed=arguments["seed"],
        )
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("seed", "width"), [(-1, 32), (0, 0)])
def test_render_refuses_bad_arguments(seed: int, width: int) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        render_scene(seed, width, 32)


def test_scene_arrays(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (60, 80, 3)
        assert scene.image.dtype == np.uint8
        assert scene.labels.shape == scene.depth.shape == (60, 80)
        assert scene.labels.dtype == np.uint8
        assert scene.depth.dtype == np.float32
        assert 40 < scene.field_of_view < 90


def test_every_scene_has_sky_and_something_flat(scenes: list[Scene]) -> None:
    for scene in scenes:
        present = set(np.unique(scene.labels).tolist())
        assert present <= set(range(len(CLASSES)))
        assert SKY in present
        assert present & {GROUND, ROAD}


def test_class_shares(scenes: list[Scene]) -> None:
    labels = np.stack([scene.labels for scene in scenes])
    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    assert shares[CAR] >= 0.015
    assert shares[TREE] >= 0.08
    assert shares[BUILDING] >= 0.08
    assert min(shares[SKY], shares[GROUND], shares[ROAD]) >= 0.08


def test_sky_is_far_and_nothing_else_is(scenes: list[Scene]) -> None:
    for scene in scenes:
        np.testing.assert_array_equal(scene.depth == FAR, scene.labels == SKY)
        assert scene.depth.min() > 0


def unprojected_heights(scene: Scene, seed: int) -> NDArray[np.float64]:
    """Heights above the ground of all pixels, from depth and field of view alone."""
    height, width = scene.depth.shape
    camera = Layout(seed).camera
    focal = width / 2 / np.tan(np.radians(scene.field_of_view / 2))
    down = ((np.arange(height) + 0.5 - height / 2) / focal)[:, None]
    # The camera is tipped down by its pitch: depth and the way down the picture both lower a point.
    lowering = np.sin(camera.pitch) + down * np.cos(camera.pitch)
    heights: NDArray[np.float64] = camera.frame.z - scene.depth * lowering
    return heights


def test_flat_pixels_lie_on_the_ground(scenes: list[Scene]) -> None:
    for seed, scene in zip(scene_seeds(0, "train", 12), scenes, strict=False):
        heights = unprojected_heights(scene, seed)
        flat = np.isin(scene.labels, (GROUND, ROAD))
        np.testing.assert_allclose(heights[flat], 0, atol=1e-3)


def test_things_stand_on_the_ground(scenes: list[Scene]) -> None:
    for seed, scene in zip(scene_seeds(0, "train", 12), scenes, strict=False):
        heights = unprojected_heights(scene, seed)
        things = np.isin(scene.labels, (TREE, BUILDING, CAR))
        assert heights[things].min() > -1e-3
        assert heights[things].max() < 25
        cars = scene.labels == CAR
        if cars.any():
            assert heights[cars].max() < 2.2


def test_depth_does_not_depend_on_the_size() -> None:
    (seed,) = scene_seeds(0, "train", 1)
    # With three times the pixels, every third one looks through the same point.
    small, large = render_scene(seed, 40, 30), render_scene(seed, 120, 90)
    np.testing.assert_allclose(large.depth[1::3, 1::3], small.depth, rtol=1e-4)
    np.testing.assert_array_equal(large.labels[1::3, 1::3], small.labels)


def test_shadows_and_light_vary(scenes: list[Scene]) -> None:
    brightness = np.array([scene.image.mean() for scene in scenes])
    assert brightness.std() > 8
    assert 60 < brightness.mean() < 190


@pytest.mark.parametrize("seed", range(12))
def test_cars_keep_to_the_street_and_buildings_off_it(seed: int) -> None:
    layout = Layout(seed)
    for solid, paint in layout.parts:
        x, y, _ = solid.frame.origin
        paved = layout.street.paved(x, y).item()
        assert paved or paint.label != CAR
        assert not paved or paint.label != BUILDING


@pytest.mark.parametrize(
    ("solid", "distance"),
    [
        (block(Frame(0.0, 5.0), (2.0, 2.0, 2.0)), 4.0),
        (block(Frame(0.0, 5.0, yaw=np.pi / 2), (4.0, 2.0, 2.0)), 3.0),
        (block(Frame(0.0, 5.0), (2.0, 2.0, 2.0), (1.0, 0.0)), 4.5),
        (Solid(Frame(0.0, 5.0, 1.0), (1.0, 2.0, 1.0)), 3.0),
        (Solid(Frame(0.0, 5.0, 1.0, yaw=np.pi / 2), (1.0, 2.0, 1.0)), 4.0),
    ],
)
def test_rays_hit_solids_where_they_should(solid: Solid, distance: float) -> None:
    directions = np.array([[0.0, 0.0, 3.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
    hits, distances, normals = solid.intersect(np.array([[0.0], [0.0], [1.0]]), directions)
    assert hits.tolist() == [0]
    np.testing.assert_allclose(distances, [distance])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1)
    assert normals[1, 0] < -0.5
