"""Feature extraction with caching in the feature store."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones import Backbone
from segdistill.backbones.finite import finite_maps, not_finite_error
from segdistill.devices import Compute, PixelBudget
from segdistill.features.entry import EntryKind
from segdistill.features.preparation import storage_format
from segdistill.features.store import FeatureStore
from segdistill.features.views import View
from segdistill.images.folder import read_checked
from segdistill.passes import in_passes
from segdistill.prefetch import in_batches, in_threads, worker_threads
from segdistill.progress import Advance, progress_bar

Pixels = NDArray[np.uint8]
Features = NDArray[np.float16]

BATCHES_AHEAD = 2
WRITING_THREADS = 2
FEATURES_VERSION = 2
"""Increase this whenever decoding, resizing or backbone code changes the features."""


class FeatureMaps:
    """The raw feature maps of a list of views, read from the store or computed on demand.

    Args:
        views: the views, in the order of the map indices.
        backbone: the backbone, on the device of ``compute``.
    """

    def __init__(
        self, views: Sequence[View], backbone: Backbone, store: FeatureStore, compute: Compute
    ) -> None:
        self.views = list(views)
        self.backbone = backbone
        self.store = store
        self.compute = compute
        self.budget = PixelBudget(compute.device, thread_safe=backbone.thread_safe)
        self.folder = store_folder_name(backbone, compute)
        self.channels = sum(backbone.channel_groups)
        self._checked = bytearray(len(self.views))  # 1 once the checksum of a map was right

    def __len__(self) -> int:
        return len(self.views)

    def grid(self, index: int) -> tuple[int, int]:
        """Return the height and width of a map, in locations."""
        height, width = self.views[index].size
        return height // self.backbone.stride, width // self.backbone.stride

    def valid_cells(self, index: int) -> NDArray[np.bool_] | None:
        """Return which cells of a map have a value, in row-major order; ``None`` if all have."""
        cells = self.views[index].valid_cells(self.grid(index))
        return None if cells is None or cells.all() else cells.ravel()

    def locations(self, index: int) -> int:
        """Return the number of cells of a map that have a value."""
        height, width = self.grid(index)
        valid = self.valid_cells(index)
        return height * width if valid is None else int(valid.sum())

    def __getitem__(self, index: int) -> Features:
        """Return a raw map of shape (height, width, channels)."""
        return self.read([index])[0]

    def read(self, indices: Sequence[int]) -> list[Features]:
        """Return several raw maps of shape (height, width, channels), in the order of ``indices``.

        Stored maps are memory-mapped; their checksums are compared when they are first read.
        Missing ones are computed in batches, each once, while the next images are decoded. Damaged
        ones are computed again in the same way, and stored.

        Raises:
            UserError: the backbone gives values that are not finite.
        """
        maps: dict[int, Features] = {}
        missing = []
        for index in dict.fromkeys(indices):
            kept = self._kept(index)
            if kept is None:
                missing.append(index)
            else:
                maps[index] = kept
        if missing:
            # Views of the same size form batches.
            missing.sort(key=lambda index: self.views[index].size)
            made = self._features_of([self.views[index] for index in missing])
            for index, (_, features) in zip(missing, made, strict=True):
                maps[index] = features
                if self.views[index].key in self.store.damaged:
                    self.store.write(self.folder, self.views[index].key, features)
        return [maps[index] for index in indices]

    def iterate(self, indices: Iterable[int]) -> Iterator[Features]:
        """Yield raw maps one by one, loaded into memory with read-ahead."""
        order = list(indices)
        size = self.budget.images(*self.views[order[0]].size) if order else 1
        groups = [order[start : start + size] for start in range(0, len(order), size)]

        def read(group: list[int]) -> list[Features]:
            return [np.array(features) for features in self.read(group)]

        for maps in in_threads(read, groups, threads=1, ahead=BATCHES_AHEAD):
            yield from maps

    def _kept(self, index: int) -> Features | None:
        """Return a map from the store; ``None`` if it is missing or damaged."""
        # The map may not have fitted, or another process may have removed it.
        kept = self.store.read(self.folder, self._kind(index), check=not self._checked[index])
        self._checked[index] = kept is not None
        return kept

    def _kind(self, index: int) -> EntryKind:
        return entry_kind(self.views[index], self.backbone)

    def fill_store(self, *, label: str = "Extracting features", progress: bool = False) -> int:
        """Compute missing maps and store them while the store has room.

        Can be interrupted at any time; the next call continues.

        Args:
            label: label of the progress bar.
            progress: show a progress bar.

        Returns:
            The number of maps that did not fit into the store, which are computed on demand.
        """
        missing = []
        in_use = _UsedFiles(self.folder)
        group = self.compute.group
        for view in self.views:
            key = view.key
            # Split by key among processes, since others may already be writing.
            if in_use.add(key) and group.owns(key) and not self.store.touch(self.folder, key):
                missing.append(view)
        # Views of the same size form batches.
        missing.sort(key=lambda view: view.size)
        wanted = sum(group.gather(sum(map(self._bytes, missing))))
        room = group.from_first(lambda: self.store.make_room(wanted, in_use)) // group.size
        with progress_bar(label, len(missing), shown=progress) as advance:
            left_out = self._extract(missing, room, advance)
        return sum(group.gather(left_out))

    def _extract(self, missing: list[View], room: int, advance: Advance) -> int:
        left_out = 0
        kept = []
        for view in missing:
            room -= self._bytes(view)
            if room >= 0:
                kept.append(view)
            else:
                left_out += 1
                advance(1)

        def write(job: tuple[View, Features]) -> bool:
            view, features = job
            return self.store.write(self.folder, view.key, features)

        # Bounded, since the disk may be slower than the backbone.
        written = in_threads(
            write, self._features_of(kept), threads=WRITING_THREADS, ahead=2 * self._batch_of(kept)
        )
        for done in written:
            left_out += not done
            advance(1)
        return left_out

    def _features_of(self, views: list[View]) -> Iterator[tuple[View, Features]]:
        """Compute maps, decoding images in threads while the backbone is running."""
        # Views of one image are adjacent, so it is decoded once.
        by_image = (list(group) for _, group in groupby(views, key=lambda view: view.image))
        threads = worker_threads()
        loaded = in_threads(
            _load,
            by_image,
            threads=threads,
            ahead=threads + BATCHES_AHEAD * self._batch_of(views),
        )
        pairs = (pair for pairs in loaded for pair in pairs)
        batches = in_batches(
            pairs, lambda pair: pair[0].size, lambda pair: self.budget.images(*pair[0].size)
        )
        for computed in in_passes(self._of_batch, batches, self.budget, count=len(views)):
            for view, features in computed:
                if np.isnan(features[0, 0, 0]):
                    raise not_finite_error(self.backbone.name, str(view.image.file.path))
                yield view, features

    def _of_batch(self, batch: list[tuple[View, Pixels]]) -> list[tuple[View, Features]]:
        maps = self._pass([pixels for _, pixels in batch])
        return [(view, features) for (view, _), features in zip(batch, maps, strict=True)]

    def _batch_of(self, views: list[View]) -> int:
        """Return the batch size of the smallest views, which come first."""
        return self.budget.images(*views[0].size) if views else 1

    def _bytes(self, view: View) -> int:
        return entry_kind(view, self.backbone).size

    def _pass(self, images: list[Pixels]) -> Features:
        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        with torch.inference_mode():
            # (b, h, w, 3) -> (b, 3, h, w)
            half = self.budget.run(self._half_maps, batch.permute(0, 3, 1, 2))
            array: Features = half.cpu().numpy()
        return array

    def _half_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Compute maps in storage format from 8-bit images: (b, 3, h, w) to (b, h, w, c)."""
        with self.compute.autocast():
            maps = self.backbone(images.float() / 255)
        finite, half = finite_maps(maps), storage_format(maps)
        # The first value tells whether a map is finite, so that the batch is read back once.
        first = half[:, 0, 0, 0]
        half[:, 0, 0, 0] = torch.where(finite, first, torch.nan)
        return half


class _UsedFiles(Container[Path]):
    """The store files that a list of views needs, in compact form."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._keys: set[bytes] = set()

    def add(self, key: str) -> bool:
        """Add a key; return whether it is new."""
        before = len(self._keys)
        self._keys.add(bytes.fromhex(key))
        return len(self._keys) > before

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, Path) or path.parent.parent.name != self.folder:
            return False
        try:
            return bytes.fromhex(path.stem) in self._keys
        except ValueError:  # an unfinished file
            return False


def entry_kind(view: View, backbone: Backbone) -> EntryKind:
    """Return what the entry of a view's map is in a store."""
    height, width = view.size
    shape = (height // backbone.stride, width // backbone.stride, sum(backbone.channel_groups))
    return EntryKind(view.key, shape)


def stored_map(
    view: View, backbone: Backbone, compute: Compute, store: FeatureStore
) -> Features | None:
    """Memory-map a view's raw map in a store; ``None`` if it is missing or damaged.

    It counts as recently used.
    """
    folder = store_folder_name(backbone, compute)
    kept = store.read(folder, entry_kind(view, backbone))
    if kept is not None:
        store.touch(folder, view.key)
    return kept


def store_folder_name(backbone: Backbone, compute: Compute) -> str:
    """Return the folder name in the store for a backbone and a precision."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", backbone.name.strip("/").split("/")[-1])
    return f"{readable}-{backbone.fingerprint}-{compute.precision}-v{FEATURES_VERSION}"


def _load(views: Sequence[View]) -> list[tuple[View, Pixels]]:
    """Decode an image once for all of its views."""
    source = views[0].image
    image = read_checked(source)
    return [(view, view.render(image)) for view in views]
