"""Writing feature maps or codes of images, for other programs."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segdistill.api.common import Source
from segdistill.api.engine_plan import Replacing, find_sources, plan_outputs
from segdistill.backbones import DEFAULT_BACKBONE
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.engines.running import check_engine, run_work
from segdistill.engines.work import EngineName
from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError, content_hash
from segdistill.images.finding import picture_names
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.inference.feature_work import FeatureWork, MapMaker, map_maker
from segdistill.model.files import WEIGHTS_FILE
from segdistill.storage import Folder, for_workers, open_folder
from segdistill.version import __version__

FEATURES_FILE = "features.json"
SAME = ("kind", "fingerprint", "model", "resolution")
"""What maps in one folder have in common."""


@dataclass
class ExtractedFeatures:
    """What was written.

    Attributes:
        folder: where; a path, or a URL.
        channels: of each map.
        stride: image pixels per side that one place of a map stands for, as images are seen.
        written: number of maps written now.
        kept: number of maps that existed already.
        skipped: images that could not be read.
    """

    folder: Path | str
    channels: int
    stride: int
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)


def extract_features(
    sources: Source | Sequence[Source],
    out: Source,
    *,
    backbone: str | None = None,
    run: Source | None = None,
    resolution: int | None = None,
    engine: EngineName = "local",
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    strict: bool = False,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> ExtractedFeatures:
    """Write the feature map of each image as ``NAME.npy``, and ``features.json`` about all of them.

    A map is a NumPy array of float16, of shape (height, width, channels), on the backbone's grid.
    ``fit`` does not need them: it keeps its own.

    Args:
        sources: folders, files, glob patterns or URLs of images.
        out: folder or URL for the maps, in the images' tree.
        backbone: whose features are written; with a run, where its backbone lies now, if it has
            moved.
        run: run folder, to write the codes of its head in place of features.
        resolution: shorter side at which images are seen; by default what suits the backbone, or
            as in training.
        engine: ``ray`` lets workers of Ray do it, here or on a cluster.
        workers: of Ray; by default one for each GPU, or for each core.
        overwrite: replace maps that exist already.
        resume: leave maps that exist already, and write those that are missing.
        strict: stop at the first image that cannot be read.
        device: where to compute.
        precision: of matrix products.
        progress: show a progress bar.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    check_engine(engine, workers, [*several, out])
    if resolution is not None and resolution < 32:
        raise UserError(f"--resolution {resolution}: must be at least 32")
    place = open_folder(out)
    images = find_sources(several, place)
    plan = plan_outputs(
        images,
        [name.with_suffix(".npy") for name in picture_names(images)],
        place,
        Replacing(overwrite, resume),
        forms=lambda name: [[name]],
        summary=FEATURES_FILE,
        kind="maps",
    )
    folder = None if run is None else str(Path(run).absolute())
    name = backbone or (None if run is not None else DEFAULT_BACKBONE)
    # Mistakes are reported before workers start.
    maker = map_maker(name, folder, resolution, "cpu" if engine == "ray" else device, precision)
    work = FeatureWork(
        for_workers(place),
        name,
        folder,
        resolution,
        device,
        precision,
        maker=maker if engine == "local" else None,
    )
    about = _about(maker, folder)
    if plan.kept:
        _check_same(about, place)
    if plan.items:
        # First, so that what is there is known by it even if this is killed.
        _send_about(about, place)
    done = ExtractedFeatures(
        place.path or place.address, maker.channels, maker.backbone.stride, kept=len(plan.kept)
    )
    for row in run_work(
        work,
        plan.items,
        engine=engine,
        workers=workers,
        label="Extracting features",
        progress=progress,
    ):
        if "reason" not in row:
            done.written += 1
        elif strict:
            raise UnreadableImageError(row["reason"])
        else:
            file = ImageFile(Path(row["name"]), Path(row["name"]))
            done.skipped.append(SkippedImage(file, row["reason"]))
    if done.written:
        _send_about({**about, "maps": done.written + done.kept}, place)
    return done


def _about(maker: MapMaker, run: str | None) -> dict[str, Any]:
    """Return what ``features.json`` tells, but for the number of maps."""
    model = None if run is None else content_hash((Path(run) / WEIGHTS_FILE).read_bytes())
    return {
        "segdistill": __version__,
        "kind": "features" if run is None else "codes",
        "backbone": maker.backbone.name,
        "fingerprint": maker.backbone.fingerprint,
        "model": model,
        "licence": maker.backbone.licence,
        "resolution": maker.resolution,
        "stride": maker.backbone.stride,
        "layout": ["height", "width", "channels"],
        "channels": maker.channels,
    }


def _send_about(about: Mapping[str, Any], place: Folder) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / FEATURES_FILE
        path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        place.send(path, FEATURES_FILE)


def _check_same(about: Mapping[str, Any], place: Folder) -> None:
    """Check that the maps that are there are of the same kind.

    Raises:
        UserError: they are of another, or it is not known of which.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / FEATURES_FILE
        try:
            place.fetch(FEATURES_FILE, copy)
            known = json.loads(copy.read_text(encoding="utf-8"))
            differing = [name for name in SAME if known.get(name) != about[name]]
        except (UserError, ValueError, AttributeError) as error:
            raise UserError(
                f"{place.address}/{FEATURES_FILE}: does not tell of what kind the maps there are;"
                " add --overwrite, or choose another --out"
            ) from error
    if differing:
        raise UserError(
            f"{place.address}: the maps there have another {' and '.join(differing)}; add"
            " --overwrite, or choose another --out"
        )
