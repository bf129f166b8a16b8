"""A run that is being taught: opening it, and the models made from it."""

import logging
from collections.abc import Container, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.api.common import Source, cache_of, images_or_run_images, load_segmenter
from segdistill.config.settings import DeviceName, PrecisionName, UntaughtName
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.store import GIGABYTE, FeatureStore
from segdistill.features.views import views_of
from segdistill.files import TEMPORARY_NAME, read_short_text, remove_leftovers
from segdistill.images.folder import CheckedImage, ImageFile, check_images
from segdistill.images.resize import Viewing
from segdistill.inference.samples import evenly_spread
from segdistill.json_files import MAX_JSON_BYTES
from segdistill.layout import FACTS_FILE, SETTINGS_FILE, TAUGHT_FOLDER, WEIGHTS_FILE
from segdistill.locks import only_writer
from segdistill.model.files import read_description
from segdistill.model.segmenter import Segmenter
from segdistill.progress import progress_bar
from segdistill.runs.facts import Facts, names_by_folder
from segdistill.runs.folder import RunFolder
from segdistill.teaching.answers_file import AnswersFile
from segdistill.teaching.cells import CellPool
from segdistill.teaching.reduction import Reduction, fit_reduction
from segdistill.teaching.session import TaughtImage, TeachingSession
from segdistill.teaching.taught_model import TAUGHT, class_scores, taught_segmenter
from segdistill.training.environment import environment_facts

logger = logging.getLogger("segdistill")

MOST_CELLS = 600_000
"""Cells that questions are chosen from; more would need over 300 MB."""

REDUCTION_CELLS = 60_000
REDUCTION_MAPS = 200

SAVING_SECONDS = 10.0
"""How long to wait for another command that writes the taught run."""

SAVED_FILES = frozenset({FACTS_FILE, SETTINGS_FILE, WEIGHTS_FILE})
"""What a folder holds, at most, if its first saving was interrupted."""


class Teacher:
    """A run that is being taught: a session, and the models made from it.

    Args:
        run: the run folder.
        segmenter: its model.
        session: the session.
        reduction: from prepared features to those of the session.
        files: the images of the session.
        store: where the answers are stored.
        out: where the taught run is written.
    """

    def __init__(
        self,
        run: Path,
        segmenter: Segmenter,
        session: TeachingSession,
        reduction: Reduction,
        files: Sequence[ImageFile],
        store: AnswersFile,
        out: Path,
    ) -> None:
        self.run = run
        self.segmenter = segmenter
        self.session = session
        self.files = list(files)
        self.out = out
        self._reduction = reduction
        self._store = store

    def follow(self) -> bool:
        """Take over answers that another program has stored; return whether there were any.

        Raises:
            UserError: the file of answers is damaged.
        """
        if not self._store.is_changed:
            return False
        self.session.adopt(self._store.read())
        return True

    def snapshot(self) -> "Teacher":
        """Return a copy that later changes do not affect, for slow work in another thread."""
        copied = copy(self)
        copied.session = self.session.snapshot()
        return copied

    def scores(self, image: int) -> torch.Tensor:
        """Return the class scores that the taught model gives an image.

        Args:
            image: index of the image.

        Returns:
            Cosine similarities of shape (1, classes, h, w), in -1..1.
        """
        pool = self.session.pool
        cells = pool.features[pool.cells_of(image)]
        features = cells.mT.reshape(1, -1, *pool.grids[image])  # (cells, c) -> (1, c, h, w)
        return class_scores(self.session.classifier, features)

    @property
    def taught(self) -> Segmenter:
        """The model with the taught classes.

        Raises:
            UserError: nothing has been taught.
        """
        if not self.session.is_taught:
            raise UserError(
                f"{self.run}: nothing has been taught yet; answer a question, or give a file of"
                " answers with --answers"
            )
        session = self.session
        return taught_segmenter(
            self.segmenter, self._reduction, session.classifier, session.classes
        )

    def reduced_features(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the features of an image that the classifier sees.

        Args:
            image: shape (height, width, 3).

        Returns:
            Shape (1, channels, h, w), on the CPU.
        """
        features = self.segmenter.grid_features(image)
        cells = self._reduction(features[0].flatten(1).mT)  # (1, c, h, w) -> (cells, c)
        return cells.mT.reshape(1, -1, *features.shape[2:])

    def save(self) -> Segmenter:
        """Write the taught run, replacing an earlier one, and return its model.

        Raises:
            UserError: nothing has been taught, or the folder cannot be written.
        """
        model = self.taught
        facts = Facts(
            images=len(self.files),
            files=names_by_folder(self.files),
            environment=environment_facts(model.compute),
        )
        with only_writer(self.out, seconds=SAVING_SECONDS):
            _check_replaceable(self.out)
            remove_leftovers(self.out)
            folder = RunFolder(self.out)
            folder.write_facts(facts)
            if (self.run / SETTINGS_FILE).exists():
                chosen = RunFolder(self.run).read_settings()
                folder.write_settings(replace(chosen, classes=len(model.classes)))
            model.save(self.out, overwrite=True)
        return model


def open_teacher(
    run: Source,
    images: Source | Sequence[Source] | Sequence[ImageFile] | None = None,
    *,
    mentioned_in: Source | None = None,
    untaught: UntaughtName = "clusters",
    out: Source | None = None,
    backbone: str | None = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    progress: bool = False,
) -> Teacher:
    """Open a run to teach it classes: ask questions, take answers, and save the result.

    Answers are stored in the run as they are given. They name images and pixels, so they stay valid
    when the run is fitted again on the same images.

    Args:
        run: a run folder.
        images: images to ask about; by default those that the run was fitted on. Of very many, an
            evenly spread selection is used, in addition to those with answers.
        mentioned_in: an answer file whose images are used, too.
        untaught: what happens to classes of the run about which nothing has been taught:
            ``clusters`` keeps them, ``nearest`` gives every location the most likely taught class.
        out: folder for the taught run; by default ``taught`` in the run folder.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        progress: show progress bars.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    folder = Path(run)
    taught = folder / TAUGHT_FOLDER if out is None else Path(out)
    # Before anything is stored or computed.
    _check_replaceable(taught)
    segmenter = load_segmenter(folder, backbone, device, precision)
    store = AnswersFile(folder)
    answers = store.read()
    remove_leftovers(folder)
    files = images_or_run_images(folder, images)
    answered = {each.image for each in answers.answers}
    if mentioned_in is not None:
        text = read_short_text(
            Path(mentioned_in), what="a file of answers", option="--answers", most=MAX_JSON_BYTES
        )
        answered |= {file.name.as_posix() for file in files if file.path.name in text}
    maps, checked = _maps_of(folder, files, answered, segmenter, progress=progress)
    pool, clusters, reduction = _pooled(maps, segmenter, progress=progress)
    session = TeachingSession(
        [
            TaughtImage(each.file.name.as_posix(), each.width, each.height, each.digest)
            for each in checked
        ],
        pool,
        clusters,
        segmenter.classes if untaught == "clusters" else (),
        answers,
        store.write,
    )
    return Teacher(
        folder,
        segmenter,
        session,
        reduction,
        [each.file for each in checked],
        store,
        taught,
    )


def _check_replaceable(folder: Path) -> None:
    """Check that a folder holds nothing but a taught run, perhaps of an interrupted command.

    Raises:
        UserError: it holds another run, or other files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file, not a folder; choose another --out")
    if RunFolder(folder).is_finished:
        if read_description(folder).training.get("method") != TAUGHT:
            raise UserError(f"{folder}: contains a run that was not taught; choose another --out")
        return
    # Temporary files are those of a command that is saving, or was killed.
    names = {each.name for each in folder.iterdir() if not TEMPORARY_NAME.fullmatch(each.name)}
    if names - SAVED_FILES:
        raise UserError(f"{folder}: exists and is not a taught run; choose another --out")


def _maps_of(
    run: Path,
    files: Sequence[ImageFile],
    answered: Container[str],
    segmenter: Segmenter,
    *,
    progress: bool,
) -> tuple[FeatureMaps, list[CheckedImage]]:
    """Return the feature maps of images to be taught, as `segment` sees them."""
    first = [file for file in files if file.name.as_posix() in answered]
    resolution, backbone = segmenter.settings.resolution, segmenter.backbone
    # As for images whose sides are as 4 to 3.
    most = max(1, MOST_CELLS * 3 * backbone.stride**2 // (4 * resolution**2))
    if len(files) > most:
        logger.info("asking about %d of %d images, evenly spread", most, len(files))
    chosen = {file.path for file in evenly_spread(files, most)} | {file.path for file in first}
    checked, skipped = check_images(
        [file for file in files if file.path in chosen],
        reading=segmenter.settings.reading,
        progress=progress,
    )
    if skipped:
        logger.warning(
            "%d of %d images skipped; first: %s", len(skipped), len(files), skipped[0].reason
        )
    cache = cache_of(run)
    store = FeatureStore(cache.folder, max_bytes=int(cache.max_gigabytes * GIGABYTE))
    segmenter.backbone.to(segmenter.compute.device)
    viewing = Viewing(resolution, backbone.size_multiple)
    maps = FeatureMaps(views_of(checked, viewing), backbone, store, segmenter.compute)
    maps.fill_store(progress=progress)
    return maps, checked


@torch.inference_mode()
def _pooled(
    maps: FeatureMaps, segmenter: Segmenter, *, progress: bool
) -> tuple[CellPool, NDArray[np.int64], Reduction]:
    """Return the reduced features of all cells, and the run's class of each."""
    grids = [maps.grid(index) for index in range(len(maps))]
    total = sum(height * width for height, width in grids)
    clusters = np.empty(total, np.int64)
    valid = np.ones(total, np.bool_)
    sample = sample_locations(
        maps, REDUCTION_CELLS, seed=0, max_maps=REDUCTION_MAPS, function=segmenter.cpu().preparation
    )
    segmenter.to(segmenter.compute.device)
    reduction = fit_reduction(sample.features)
    reduced = torch.empty(total, reduction.rotation.shape[1])
    start = 0
    with progress_bar("Reading features", len(maps), shown=progress) as advance:
        for index, features in enumerate(_prepared(maps, segmenter)):
            height, width = grids[index]
            own = slice(start, start + height * width)
            reduced[own] = reduction(features[0].flatten(1).mT.cpu())  # (1, c, h, w) -> (cells, c)
            scores = segmenter.scores_of_codes(segmenter.codes_of(features))
            clusters[own] = scores.argmax(dim=1).flatten().cpu().numpy()
            known = maps.valid_cells(index)
            if known is not None:
                valid[own] = known
            start = own.stop
            advance(1)
    return CellPool(reduced, grids, valid), clusters, reduction


def _prepared(maps: FeatureMaps, segmenter: Segmenter) -> Iterator[torch.Tensor]:
    """Yield the prepared features of all maps, each of shape (1, channels, h, w)."""
    for raw in maps.iterate(range(len(maps))):
        features = torch.from_numpy(raw).to(segmenter.compute.device).float()
        prepared: torch.Tensor = segmenter.preparation(features[None])
        yield prepared.permute(0, 3, 1, 2)  # (1, h, w, c) -> (1, c, h, w)
