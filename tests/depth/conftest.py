"""Tiny networks on disk, written once, and images to estimate the depth of."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.depth.networks import NETWORKS, picture, write_network

from segdistill.depth.estimation import EstimatedDepth, estimate_files
from segdistill.depth.estimator import DepthEstimator, load_depth_estimator
from segdistill.depth.outputs import DepthOptions, plan_outputs
from segdistill.devices import choose_compute
from segdistill.images.folder import find_images

Estimate = Callable[..., EstimatedDepth]

NAMES = {"a.jpg": (40, 60), "b.png": (60, 40), "more/c.png": (40, 60), "more/d.png": (33, 90)}


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind of network."""
    root = tmp_path_factory.mktemp("depth")
    return {kind: write_network(root / kind, kind) for kind in NETWORKS}


@pytest.fixture(scope="session")
def estimator(networks: dict[str, Path]) -> DepthEstimator:
    compute = choose_compute("cpu", "32-true")
    return load_depth_estimator(str(networks["depth-anything"]), compute=compute)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for seed, (name, size) in enumerate(NAMES.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(*size, seed)).save(root / name)
    return root


@pytest.fixture
def estimate(estimator: DepthEstimator, images: Path) -> Estimate:
    """Estimate the depth of the images of a folder."""

    def run(
        folder: Path, source: Path = images, by: DepthEstimator = estimator, **options: bool | int
    ) -> EstimatedDepth:
        chosen = DepthOptions(**options)  # type: ignore[arg-type]
        outputs = plan_outputs(find_images(source), folder, by.source, chosen)
        return estimate_files(by, outputs, folder, chosen)

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
