import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.depth.conftest import NAMES, Estimate, content
from tests.depth.networks import estimated, picture

from segdistill.decoding.decode import UnreadableImageError
from segdistill.depth.estimation import PreparedImage, batches_of_equal_size
from segdistill.depth.estimator import DepthEstimator, load_depth_estimator
from segdistill.depth.maps import encode_depth, read_encoded_depth
from segdistill.depth.outputs import DepthOutput, preview_folder
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.images.depth_files import settings_beside
from segdistill.images.folder import ImageFile, find_images


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_maps_are_those_of_single_images(
    estimate: Estimate, estimator: DepthEstimator, images: Path, tmp_path: Path, batch: int
) -> None:
    before = content(images)
    done = estimate(tmp_path / "depth", batch=batch)
    assert (done.written, done.kept, done.skipped) == (4, 0, [])
    assert set(content(tmp_path / "depth")) == {
        "a.png",
        "b.png",
        "more/c.png",
        "more/d.png",
        "depth.json",
    }
    for image in find_images(images):
        with Image.open(image.path) as file:
            expected = encode_depth(estimated(estimator, np.array(file)), "inverse")
        steps = read_encoded_depth(tmp_path / "depth" / image.name.with_suffix(".png"))
        assert steps.shape == NAMES[image.name.as_posix()]
        assert np.abs(steps.astype(int) - expected).max() <= 8  # of 65535
    assert content(images) == before


def test_what_stands_beside_the_maps(
    estimate: Estimate, networks: dict[str, Path], tmp_path: Path
) -> None:
    done = estimate(tmp_path / "depth")
    stored = json.loads((done.folder / "depth.json").read_text())
    assert stored["program"] == "segdistill"
    assert stored["model"] == str(networks["depth-anything"])
    assert (stored["kind"], stored["scale"], stored["invalid"]) == ("inverse", None, 0)
    settings = settings_beside(done.folder)
    assert settings is not None
    assert (settings.kind, settings.invalid) == ("inverse", (0,))


def test_metres_are_kept_as_metres(
    estimate: Estimate, networks: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    compute = choose_compute("cpu", "32-true")
    zoedepth = load_depth_estimator(str(networks["zoedepth-two-heads"]), compute=compute)
    done = estimate(tmp_path / "depth", by=zoedepth)
    settings = settings_beside(done.folder)
    assert settings is not None
    assert (settings.kind, settings.scale) == ("depth", 1 / 256)
    with Image.open(images / "b.png") as file:
        metres = estimated(zoedepth, np.array(file))
    steps = read_encoded_depth(done.folder / "b.png")
    np.testing.assert_allclose(steps / 256, metres.clip(1 / 256), atol=0.5 / 256 + 1e-4)


def test_an_image_turned_by_its_camera_has_upright_depth(
    estimate: Estimate, estimator: DepthEstimator, images: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    shape = picture(40, 60)
    Image.fromarray(np.ascontiguousarray(np.rot90(shape))).save(images / "b.png", exif=exif)
    estimate(tmp_path / "depth", batch=1)
    expected = encode_depth(estimated(estimator, shape), "inverse")
    np.testing.assert_array_equal(read_encoded_depth(tmp_path / "depth/b.png"), expected)


def test_a_second_call_makes_what_is_missing(estimate: Estimate, tmp_path: Path) -> None:
    folder = tmp_path / "depth"
    estimate(folder, batch=1)
    before = content(folder)
    stamp = (folder / "a.png").stat().st_mtime_ns
    (folder / "more/c.png").unlink()
    done = estimate(folder, batch=1)
    assert (done.written, done.kept) == (1, 3)
    assert content(folder) == before
    assert (folder / "a.png").stat().st_mtime_ns == stamp
    done = estimate(folder, overwrite=True)
    assert (done.written, done.kept) == (4, 0)
    assert (folder / "a.png").stat().st_mtime_ns != stamp


def test_after_an_interruption_the_same_call_goes_on(
    estimate: Estimate, estimator: DepthEstimator, tmp_path: Path
) -> None:
    predictions = 0

    class Interrupted(DepthEstimator):
        def predict(self, prepared: torch.Tensor) -> torch.Tensor:
            nonlocal predictions
            predictions += 1
            if predictions == 3:
                raise KeyboardInterrupt
            return super().predict(prepared)

    stopping = Interrupted(**vars(estimator))
    with pytest.raises(KeyboardInterrupt):
        estimate(tmp_path / "depth", by=stopping, batch=1)
    assert len(list((tmp_path / "depth").rglob("*.png"))) == 2
    assert not list((tmp_path / "depth").rglob("*part*"))
    done = estimate(tmp_path / "depth")
    assert (done.written, done.kept) == (2, 2)


def test_damaged_images_are_passed_over(estimate: Estimate, images: Path, tmp_path: Path) -> None:
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:200])
    done = estimate(tmp_path / "depth")
    assert done.written == 3
    (skipped,) = done.skipped
    assert skipped.file.name == Path("b.png")
    assert not (tmp_path / "depth/b.png").exists()
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        estimate(tmp_path / "strict", strict=True)


def test_where_no_image_can_be_read_nothing_is_written(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    for image in find_images(images):
        image.path.write_bytes(b"")
    done = estimate(tmp_path / "depth")
    assert len(done.skipped) == 4
    assert not (tmp_path / "depth").exists()


def test_previews_lie_in_a_folder_of_their_own(
    estimate: Estimate, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "depth"
    estimate(folder)
    maps = content(folder)
    done = estimate(folder, preview=True)
    assert done.kept == 4
    assert done.previews == tmp_path / "depth_preview" == preview_folder(folder)
    assert content(folder) == maps
    drawn = sorted(path.name for path in done.previews.rglob("*.jpg"))
    assert drawn == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    fresh = estimate(tmp_path / "other", preview=True)
    assert fresh.previews is not None
    for name in ("a.jpg", "more/d.jpg"):
        with Image.open(done.previews / name) as kept, Image.open(fresh.previews / name) as new:
            assert kept.size == NAMES["a.jpg" if name == "a.jpg" else "more/d.png"][::-1]
            np.testing.assert_array_equal(np.array(kept), np.array(new))


def test_a_folder_that_cannot_be_made_is_told(estimate: Estimate, tmp_path: Path) -> None:
    (tmp_path / "depth").write_text("a file")
    with pytest.raises(UserError, match="a file exists where a folder is needed"):
        estimate(tmp_path / "depth")


def test_batches_hold_one_size_and_do_not_wait_for_ever() -> None:
    output = DepthOutput(ImageFile(Path("a"), Path("a")), Path("a.png"), None, kept=False)

    def prepared(columns: int) -> PreparedImage:
        return PreparedImage(output, torch.zeros(3, 1, columns), (1, columns))

    sizes = [1, 2, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 1]
    batches = [
        [image.size[1] for image in batch]
        for batch in batches_of_equal_size(map(prepared, sizes), 2)
    ]
    assert sorted(columns for batch in batches for columns in batch) == sorted(sizes)
    assert all(len(set(batch)) == 1 and len(batch) <= 2 for batch in batches)
    assert batches[:2] == [[1, 1], [2, 2]]
    asked = 0

    def counted() -> Iterator[PreparedImage]:
        nonlocal asked
        for columns in range(100):
            asked += 1
            yield prepared(columns)

    next(batches_of_equal_size(counted(), 2))
    assert asked == 9
