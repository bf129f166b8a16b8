"""Depth maps on the feature grid, cached in the feature store."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.decode import content_hash
from segdistill.errors import UserError
from segdistill.features.entry import EntryKind
from segdistill.features.store import FeatureStore
from segdistill.features.views import View
from segdistill.files import read_file
from segdistill.images.depth import DepthSettings, check_depth_size, normalise_depth, read_depth
from segdistill.images.depth_checks import (
    DepthSummary,
    constant_depth_warning,
    fill_value_warning,
    summarise_depth,
    unknown_depth_warning,
)
from segdistill.images.depth_view import depth_for_view
from segdistill.images.resize import Size
from segdistill.progress import progress_bar

DEPTH_VERSION = 2
"""Increase this whenever the computed depth grids change."""

MAPS_CHECKED = 32
"""Number of depth maps, evenly spread, whose values are checked in each fit."""

logger = logging.getLogger("segdistill")

RELATIVE_NEAREST = 0.1
"""Assumed ratio of nearest to farthest depth for relative inverse depth and height, which do not
determine the position of the camera."""


class DepthGrid(NamedTuple):
    """Depth of a view on its feature grid; NaN where unknown.

    Attributes:
        share: depth scaled to 0 (nearest) .. 1 (farthest) in the image, shape (h, w).
        distance: depth along the viewing axis, in arbitrary units, shape (h, w).
    """

    share: NDArray[np.float32]
    distance: NDArray[np.float32]


class DepthMaps:
    """Depth grids of views, cached in the feature store.

    Args:
        grids: height and width of the feature map of each view.
        depth_paths: depth map of each image file that has one.
    """

    def __init__(
        self,
        views: Sequence[View],
        grids: Sequence[Size],
        depth_paths: Mapping[Path, Path],
        settings: DepthSettings,
        store: FeatureStore,
    ) -> None:
        self.views = views
        self.grids = grids
        self.depth_paths = depth_paths
        self.settings = settings
        self.store = store
        described = hashlib.blake2b(repr(settings).encode(), digest_size=8).hexdigest()
        self.folder = f"depth-{described}-v{DEPTH_VERSION}"
        self._keys: dict[int, str] = {}

    def fill_store(self, *, progress: bool = False) -> None:
        """Compute missing grids and cache them while the store has room.

        Warns if values of the maps probably do not mean depth, if little depth is known, or if
        maps are constant.

        Raises:
            UserError: a depth map cannot be read, or does not match its image.
        """
        paths = [self.depth_paths.get(view.image.file.path) for view in self.views]
        digests: dict[Path, str] = {}
        with progress_bar("Reading depth", 2 * len(paths), shown=progress) as advance:
            for index, path in enumerate(paths):
                if path is not None:
                    if path not in digests:
                        digests[path] = _digest_of(path)
                    self._keys[index] = self._key(index, digests[path])
                advance(1)
            keep = {self.store.path(self.folder, key) for key in self._keys.values()}
            missing = [n for n, key in self._keys.items() if not self.store.has(self.folder, key)]
            room = self.store.make_room(sum(map(self._bytes, missing)), keep)
            computed: dict[int, DepthSummary] = {}
            advance(len(paths) - len(missing))
            for index in missing:
                room -= self._bytes(index)
                # Computed even without room, so that damaged maps fail before training.
                path = paths[index]
                grid = None if path is None else self._compute(index, path)
                if grid is not None and room >= 0:
                    self.store.write(self.folder, self._keys[index], grid)
                if grid is not None:
                    computed[index] = summarise_depth(grid[:, :, 0])
                advance(1)
        self._warn(computed)

    def _warn(self, computed: dict[int, DepthSummary]) -> None:
        """Log what is suspicious; ``computed`` summarises the grids computed just now."""
        paths = list(dict.fromkeys(self.depth_paths.values()))
        spread = paths[:: -(-len(paths) // MAPS_CHECKED) or 1]
        summaries: dict[Path, DepthSummary] = {}
        for index in self._keys:
            grid = None if index in computed else self[index]
            summary = computed[index] if grid is None else summarise_depth(grid.share)
            path = self.depth_paths[self.views[index].image.file.path]
            # A crop may show a wall alone: a map is constant only if all crops are.
            before = summaries.get(path, summary)
            summaries[path] = summary._replace(constant=summary.constant and before.constant)
        for message in (
            fill_value_warning(spread, self.settings),
            unknown_depth_warning({path: each.unknown for path, each in summaries.items()}),
            constant_depth_warning(summaries),
        ):
            if message is not None:
                logger.warning("%s", message)

    def __getitem__(self, index: int) -> DepthGrid | None:
        """Return the depth grid of a view, or ``None`` if its image has no depth map."""
        view = self.views[index]
        path = self.depth_paths.get(view.image.file.path)
        if path is None:
            return None
        # Small enough to be checked at each reading.
        kept = self.store.read(self.folder, self._kind(index))
        if kept is not None:
            both = np.array(kept)
        else:
            both = self._compute(index, path)
            if self._kind(index).key in self.store.damaged:
                self.store.write(self.folder, self._kind(index).key, both)
        return DepthGrid(both[:, :, 0], both[:, :, 1])

    def _key(self, index: int, digest: str) -> str:
        text = f"{self.views[index].key} {digest} {self.grids[index]}"
        return content_hash(text.encode())

    def _kind(self, index: int) -> EntryKind:
        return EntryKind(self._keys.get(index, ""), (*self.grids[index], 2), np.float32)

    def _bytes(self, index: int) -> int:
        return self._kind(index).size

    def _compute(self, index: int, path: Path) -> NDArray[np.float32]:
        view = self.views[index]
        share, distance = image_depth(path, self.settings)
        size = (view.image.height, view.image.width)
        check_depth_size(path, (share.shape[0], share.shape[1]), size)
        augmentation = view.augmentation
        if augmentation is not None:
            raise ValueError(f"{path}: augmented copies have no depth")
        grids = [
            depth_for_view(each, size, view.crop, view.viewing, self.grids[index])
            for each in (share, distance)
        ]
        return np.stack(grids, axis=2)  # (h, w) twice -> (h, w, 2)


def image_depth(path: Path, settings: DepthSettings) -> DepthGrid:
    """Read the depth map of an image, at its own resolution.

    Relative inverse depth is only known up to scale and shift, and height up to the position of the
    camera. For both, the nearest depth is assumed to be :data:`RELATIVE_NEAREST` times the
    farthest. The normalisation in the settings is ignored.

    Raises:
        UnreadableDepthError: the file is not a readable depth map.
    """
    if settings.kind == "depth":
        metric = read_depth(path, replace(settings, normalisation="metric"))
        return DepthGrid(normalise_depth(metric), metric)
    share = read_depth(path, replace(settings, normalisation="min-max"))
    distance: NDArray[np.floating[Any]]
    if settings.kind == "inverse":
        # 1 at the farthest point, RELATIVE_NEAREST at the nearest.
        distance = np.float32(1) / (1 + (1 / RELATIVE_NEAREST - 1) * (1 - share))
    else:
        distance = RELATIVE_NEAREST + (1 - RELATIVE_NEAREST) * share
    return DepthGrid(share, distance.astype(np.float32))


def _digest_of(path: Path) -> str:
    try:
        return hashlib.blake2b(read_file(path)).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read as depth ({error.strerror})") from error
