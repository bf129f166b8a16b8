"""A whole training step: STEGO's plain step, and the library's without and with the feature store.

The plain implementation sends the images and a neighbour of each through the network, in single
precision and with eager attention, and computes the loss on whole maps; its images are decoded in
memory. Without a store, the library decodes the same images, runs the network as usual, and uses
only the sampled locations; with the store, it reads only those. All update the head; the library
also updates the probe.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tests.plain.backbones import PlainVisionTransformer
from tests.plain.step_case import SHIFTS, StepShape, made_case, plain_total, read_batch

from benchmarks.material import BASE, SMALL, SMALLEST, Transformer, made_photos, write_transformer
from benchmarks.table import Agreement, Conditions, Row, best_of, both_megabytes
from segdistill.backbones import load_backbone
from segdistill.config.settings import ObjectiveSettings
from segdistill.decoding.decode import to_tensor
from segdistill.features.extract import FeatureMaps
from segdistill.features.store import FeatureStore
from segdistill.features.views import View, views_of
from segdistill.images.resize import Viewing
from segdistill.training.batches import Batch
from segdistill.training.modules import TrainingModules
from segdistill.training.step import losses
from segdistill.training.training_set import TrainingSet

NAME = "whole-step"
CLUSTERS = 27
STORE_BYTES = 10**11
RUNS = 3
PLAIN_RUNS = {"cpu": 1}
"""On a CPU, the plain implementation takes tens of seconds."""

ALIKE = 0.01
"""Bound on 1 - the cosine of gradients from features in different precision."""

EXACT = 1e-3
"""Bound on the difference of the loss with and without the store."""


def rows(conditions: Conditions) -> Iterator[Row]:
    sizes, batch = (SMALL, 16) if conditions.device.type == "cpu" else (BASE, 32)
    if conditions.smallest:
        sizes, batch = SMALLEST, 3
    with tempfile.TemporaryDirectory() as folder:
        yield from rows_of(Bench(sizes, batch, Path(folder), conditions), conditions)


def rows_of(bench: "Bench", conditions: Conditions) -> Iterator[Row]:
    device = conditions.device
    plain, streamed, stored = bench.plain, bench.without_a_store, bench.from_the_store
    wanted, gradient = bench.gradient(plain), bench.gradient(streamed)
    alike = F.cosine_similarity(wanted.double(), gradient.double(), dim=0).item()
    loss, again = bench.loss_of(streamed), bench.loss_of(stored)
    runs = conditions.at_most(PLAIN_RUNS.get(device.type, RUNS))
    [plain_time] = best_of(runs, plain, device=device)
    drawn = bench.drawn(bench.streamed)
    times = best_of(
        conditions.at_most(RUNS), streamed, stored, lambda: bench.update(drawn), device=device
    )
    on_gpu = device.type == "cuda"  # elsewhere, the plain implementation is too slow to be traced
    size = f"{bench.batch} images and neighbours, {bench.name}, {bench.side}x{bench.side}; per step"
    yield Row(
        NAME,
        f"without a store, of which loss and update take {times[2] / times[0]:.1%}",
        size,
        Agreement("1 - cosine of gradients", 1 - alike, ALIKE),
        plain=plain_time,
        this=times[0],
        memory=both_megabytes(plain, streamed, device) if on_gpu else None,
    )
    yield Row(
        NAME,
        "from the store",
        size,
        Agreement("loss with and without the store", abs(loss - again), EXACT),
        plain=plain_time,
        this=times[1],
        memory=both_megabytes(plain, stored, device) if on_gpu else None,
    )


class Bench:
    """One step in three implementations, each of which returns the loss before its update."""

    def __init__(
        self, sizes: Transformer, batch: int, folder: Path, conditions: Conditions
    ) -> None:
        device = conditions.device
        self.name, self.side, self.batch = sizes.name, sizes.side, batch
        images = made_photos(folder / "photos", 2 * batch, (sizes.side, sizes.side))
        views = views_of(images, Viewing(sizes.side, 8))
        written = write_transformer(folder / "vit", sizes)
        self.network = PlainVisionTransformer(written).to(device)
        self.pixels = pixels_of(views).to(device)
        backbone = load_backbone(str(written)).to(device)

        def maps(store: FeatureStore) -> FeatureMaps:
            return FeatureMaps(views, backbone, store, conditions.compute)

        self.streamed = maps(FeatureStore(folder / "empty", max_bytes=0))
        self.stored = maps(FeatureStore(folder / "store", max_bytes=STORE_BYTES))
        self.stored.fill_store()
        cells = sizes.side // 8
        objective = ObjectiveSettings(samples=3 if conditions.smallest else 11)
        case = made_case(
            StepShape(cells, cells, (sizes.channels,), batch=batch, objective=objective),
            device=device,
        )
        self.settings = case.settings
        torch.manual_seed(0)
        self.modules = TrainingModules(sizes.channels, CLUSTERS, self.settings).to(device)
        self.modules.objective.shifts = SHIFTS
        self.case = replace(case, head=self.modules.head)
        self.data = TrainingSet(self.streamed, torch.empty(0), case.preparation)
        self.optimiser = self.modules.optimiser(self.settings)
        self.start = copy.deepcopy(self.modules.state_dict())

    def plain(self) -> torch.Tensor:
        with torch.no_grad():
            maps = torch.cat([self.network(part) for part in torch.split(self.pixels, self.batch)])
        total = plain_total(self.case, maps.permute(0, 2, 3, 1))  # (b, c, h, w) -> (b, h, w, c)
        return self._updated(total, total)

    def without_a_store(self) -> torch.Tensor:
        return self.update(self.drawn(self.streamed))

    def from_the_store(self) -> torch.Tensor:
        return self.update(self.drawn(self.stored))

    def drawn(self, maps: FeatureMaps) -> Batch:
        return read_batch(self.case, maps.read(range(2 * self.batch)))

    def update(self, batch: Batch) -> torch.Tensor:
        result = losses(self.modules, batch, self.data, step=0)
        return self._updated(result.objective.total, result.learned)

    def _updated(self, total: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        learned.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return total.detach()

    def loss_of(self, form: Callable[[], torch.Tensor]) -> float:
        """Return the loss of an implementation at the initial weights."""
        self.modules.load_state_dict(self.start)
        torch.manual_seed(0)  # all drop the same channels
        return form().item()

    def gradient(self, form: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the gradient of the head at the initial weights."""
        self.loss_of(form)
        weights = self.modules.head.parameters()
        return torch.cat([each.grad.flatten() for each in weights if each.grad is not None])


def pixels_of(views: list[View]) -> torch.Tensor:
    return torch.cat([to_tensor(view.load()) for view in views])
