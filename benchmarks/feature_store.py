"""Reading feature maps from the store, with and without a comparison of their checksums."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.table import Agreement, Conditions, Row, best_of
from segdistill.features.entry import EntryKind
from segdistill.features.store import FeatureStore

NAME = "feature-store"
BACKBONE = "benchmark-0123456789abcdef-32-true-v1"


def rows(conditions: Conditions) -> Iterator[Row]:
    count, side, channels = (3, 5, 16) if conditions.smallest else (200, 28, 768)
    random = np.random.default_rng(0)
    kinds = [EntryKind(f"{number:032x}", (side, side, channels)) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), max_bytes=10**12)
        for kind in kinds:
            values = random.standard_normal(kind.shape, np.float32).astype(np.float16)
            store.write(BACKBONE, kind.key, values)

        def read(*, check: bool) -> float:
            maps = (store.read(BACKBONE, kind, check=check) for kind in kinds)
            return float(sum(np.array(each)[0, 0, 0] for each in maps if each is not None))

        plain, this = best_of(conditions.runs, lambda: read(check=False), lambda: read(check=True))
        found = len(store.damaged)
        for kind in kinds:
            path = store.path(BACKBONE, kind.key)
            content = bytearray(path.read_bytes())
            content[random.integers(len(content))] ^= 1
            path.write_bytes(content)
        read(check=True)
        missed = count - len(store.damaged) + found
    yield Row(
        NAME,
        "reading maps into memory, with checksums",
        f"{count} maps of {side}x{side}x{channels}; per map",
        Agreement("flipped bits not found", missed, 0),
        plain=plain / count,
        this=this / count,
    )
