"""Working out feature maps once, and handing them out from then on."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones import Backbone
from segdistill.devices import Compute
from segdistill.features.store import FeatureStore
from segdistill.features.views import View
from segdistill.progress import Advance, progress_bar

PIXELS_A_BATCH = {"cpu": 1_000_000, "cuda": 12_000_000, "mps": 4_000_000}
"""Bounds the memory of one pass through the backbone."""

LOADING_THREADS = 2
BATCHES_AHEAD = 2
FEATURES_VERSION = 1
"""To be raised whenever decoding, resizing or a backbone's code changes what features come out."""
FLOAT16_MAX = float(np.finfo(np.float16).max)


class FeatureMaps:
    """The raw feature maps of a list of views, read from the store or worked out when asked for.

    Args:
        views: in the order in which maps are numbered.
        backbone: on the device of ``compute``.
        store: where maps are kept.
        compute: device and precision.
    """

    def __init__(
        self, views: Sequence[View], backbone: Backbone, store: FeatureStore, compute: Compute
    ) -> None:
        self.views = list(views)
        self.backbone = backbone
        self.store = store
        self.compute = compute
        self.folder = store_folder_name(backbone, compute)
        self.channels = sum(backbone.channel_groups)

    def __len__(self) -> int:
        return len(self.views)

    def grid(self, index: int) -> tuple[int, int]:
        """Return the height and width of a map, in places."""
        height, width = self.views[index].size
        return height // self.backbone.stride, width // self.backbone.stride

    def __getitem__(self, index: int) -> NDArray[np.float16]:
        """Return a raw map of shape (height, width, channels)."""
        view = self.views[index]
        with contextlib.suppress(OSError, EOFError, ValueError):
            # Not kept for want of room, cleared by another process, or damaged.
            kept: NDArray[np.float16] = self.store.read(self.folder, view.key)
            if list(kept.shape) == [*self.grid(index), self.channels]:
                return kept
        features: NDArray[np.float16] = self._work_out([view])[0]
        return features

    def fill_store(self, *, progress: bool = False) -> int:
        """Work out the maps that are missing, as far as the store has room.

        It can be interrupted at any time: maps already written are found by the next call.

        Returns:
            The number of maps that the store has no room for, which are worked out when needed.
        """
        missing = []
        for view in dict.fromkeys(self.views):
            if self.store.has(self.folder, view.key):
                self.store.touch(self.folder, view.key)
            else:
                missing.append(view)
        # Views seen at one size go through the backbone together.
        missing.sort(key=lambda view: view.size)
        wanted = sum(self._bytes(view) for view in missing)
        keep = {self.store.path(self.folder, view.key) for view in self.views}
        room = self.store.room_for_new(wanted, keep)
        with progress_bar("Extracting features", len(missing), shown=progress) as advance:
            return self._extract(missing, room, advance)

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
        with ThreadPoolExecutor(LOADING_THREADS) as loaders, ThreadPoolExecutor(1) as writer:
            writes: list[Future[bool]] = []
            for batch, images in _loaded_ahead(self._batches(kept), loaders):
                for view, features in zip(batch, self._pass(images), strict=True):
                    writes.append(writer.submit(self.store.write, self.folder, view.key, features))
                advance(len(batch))
            left_out += sum(not write.result() for write in writes)
        return left_out

    def _batches(self, views: list[View]) -> Iterator[list[View]]:
        budget = PIXELS_A_BATCH.get(self.compute.device.type, PIXELS_A_BATCH["cpu"])
        for (height, width), group in groupby(views, key=lambda view: view.size):
            count = max(1, budget // (height * width))
            same = iter(group)
            while batch := list(islice(same, count)):
                yield batch

    def _bytes(self, view: View) -> int:
        header = 128
        places = (view.size[0] // self.backbone.stride) * (view.size[1] // self.backbone.stride)
        return places * self.channels * 2 + header

    def _work_out(self, views: list[View]) -> NDArray[np.float16]:
        return self._pass([view.load() for view in views])

    def _pass(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float16]:
        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        pixels = batch.permute(0, 3, 1, 2).float() / 255  # (b, h, w, 3) -> (b, 3, h, w)
        with torch.inference_mode(), self.compute.autocast():
            maps = self.backbone(pixels).float()
        # Some transformers have a few huge activations; half precision ends at 65504.
        maps = maps.clamp(-FLOAT16_MAX, FLOAT16_MAX)
        half = maps.permute(0, 2, 3, 1).half()  # (b, c, h, w) -> (b, h, w, c)
        array: NDArray[np.float16] = half.contiguous().cpu().numpy()
        return array


def store_folder_name(backbone: Backbone, compute: Compute) -> str:
    """Return the store's folder for a backbone and a precision.

    It holds the backbone's name, made fit for a path, its fingerprint, the precision, and the
    version of the steps from file to features.
    """
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", backbone.name.strip("/").split("/")[-1])
    return f"{readable}-{backbone.fingerprint}-{compute.precision}-v{FEATURES_VERSION}"


def _loaded_ahead(
    batches: Iterator[list[View]], loaders: ThreadPoolExecutor
) -> Iterator[tuple[list[View], list[NDArray[np.uint8]]]]:
    """Decode the next batches while the current one is in the backbone."""
    waiting: list[tuple[list[View], list[Future[NDArray[np.uint8]]]]] = []
    for batch in batches:
        waiting.append((batch, [loaders.submit(view.load) for view in batch]))
        if len(waiting) > BATCHES_AHEAD:
            ready, images = waiting.pop(0)
            yield ready, [image.result() for image in images]
    for ready, images in waiting:
        yield ready, [image.result() for image in images]
