"""Objectives: chosen by name, trained, interrupted, and refused where settings have no effect."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import TinyBackbone, striped_labels, write_striped_folder

import segdistill
from segdistill.backbones import BackboneEntry, registry
from segdistill.config.objectives import (
    CauseSettings,
    EagleSettings,
    HiddenPositivesSettings,
    PriMaPsSettings,
    SmooSegSettings,
)
from segdistill.config.settings import (
    DepthSettings,
    FitSettings,
    HeadSettings,
    ObjectiveSettings,
    TrainingSettings,
)
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import fit_preparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Viewing
from segdistill.model.head import SegmentationHead
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord, read_history, write_history
from segdistill.training.batches import Batch, draw_batch
from segdistill.training.checkpoint import read_checkpoint, write_checkpoint
from segdistill.training.early_stopping import EarlyStopping, MonitoredLocations
from segdistill.training.grid import Needs
from segdistill.training.loop import seeded, train
from segdistill.training.modules import TrainingModules
from segdistill.training.objectives import registry as objectives
from segdistill.training.objectives.protocol import (
    Objective,
    ObjectiveInputs,
    ObjectiveStep,
    Teacher,
)
from segdistill.training.objectives.registry import check_objective, register_objective
from segdistill.training.sampling import sample_batch
from segdistill.training.training_set import LabelFiles, TrainingSet, ViewLabels

LATER = ("smooseg", "eagle", "primaps", "hp", "cause")
SMALL: dict[str, Any] = {
    "smooseg": SmooSegSettings(),
    "eagle": EagleSettings(grid=4, objects=3, eigenvectors=2),
    "primaps": PriMaPsSettings(grid=4, momentum_every=2),
    "hp": HiddenPositivesSettings(grid=4, pool=40),
    "cause": CauseSettings(concepts=8, codebook_steps=3, bank=64),
}


def settings_of(name: str, *, steps: int = 6, **more: Any) -> FitSettings:
    section: dict[str, Any] = {name: SMALL[name]} if name in SMALL else {}
    samples: dict[str, Any] = (
        {"samples": 4} if name in {"stego", "smooseg", "eagle", "cause"} else {}
    )
    return FitSettings(
        classes=3,
        head=HeadSettings(channels=5),
        objective=ObjectiveSettings(name=name, **samples, **section),
        training=TrainingSettings(steps=steps, batch_size=4, learning_rate=5e-3),
        **more,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("data")
    images, _ = check_images(find_images(write_striped_folder(folder / "photos")))
    store = FeatureStore(folder / "store", max_bytes=10**8)
    maps = FeatureMaps(
        views_of(images, Viewing(64, 16)), TinyBackbone(), store, choose_compute("cpu")
    )
    maps.fill_store()
    locations = sample_locations(maps, 10_000, seed=0).features
    neighbours = torch.tensor([[j for j in range(6) if j != i] for i in range(6)])
    return TrainingSet(
        maps, neighbours, fit_preparation(locations, (3, 3), standardise=True, components=4)
    )


def prepared_modules(data: TrainingSet, settings: FitSettings) -> TrainingModules:
    with seeded(0):
        modules = TrainingModules(4, 3, settings)
    modules.objective.prepare(modules.head, data)
    return modules


def run_steps(
    modules: TrainingModules,
    data: TrainingSet,
    settings: FitSettings,
    optimiser: torch.optim.Adam,
    *,
    first_step: int = 0,
) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        modules,
        optimiser,
        data,
        settings,
        choose_compute("cpu"),
        first_step=first_step,
        on_step=lambda record, _: records.append(record),
    )
    return records


@pytest.mark.parametrize("name", LATER)
def test_the_loss_falls_and_interruptions_change_nothing(
    data: TrainingSet, tmp_path: Path, name: str
) -> None:
    # Objects change from step to step, and the loss with them.
    steps = 40 if name == "eagle" else 16
    settings = settings_of(name, steps=steps)
    whole = prepared_modules(data, settings)
    records = run_steps(whole, data, settings, whole.optimiser(settings))
    part = steps // 4
    first, last = (
        sum(record.total for record in each) for each in (records[:part], records[-part:])
    )
    # The bank of concepts fills up, so that there is more and more to tell apart.
    assert last < first or name == "cause"

    run = RunFolder(tmp_path / "run")
    run.begin(settings, resume=False)
    half = replace(settings, training=replace(settings.training, steps=7))
    broken = prepared_modules(data, settings)
    optimiser = broken.optimiser(settings)
    history = run_steps(broken, data, half, optimiser)
    write_checkpoint(run, broken, optimiser, history, images="x")
    again = prepared_modules(data, settings)
    optimiser = again.optimiser(settings)
    assert read_checkpoint(run, again, optimiser, images="x") == history
    rest = run_steps(again, data, settings, optimiser, first_step=7)
    assert [*history, *rest] == records
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in again.state_dict().items())


@pytest.mark.parametrize("name", LATER)
def test_the_best_state_of_an_objective_is_kept_with_the_head(data: TrainingSet, name: str) -> None:
    settings = settings_of(name, steps=2)
    modules = prepared_modules(data, settings)
    features = torch.randn(40, 4)
    stopping = EarlyStopping(MonitoredLocations(features, torch.randint(40, (40, 3))), (2,))
    assert stopping.update(50, modules) is not None
    kept = {key: value.clone() for key, value in modules.state_dict().items()}
    run_steps(modules, data, settings, modules.optimiser(settings))
    assert any(not torch.equal(kept[key], value) for key, value in modules.state_dict().items())
    stopping.restore_best(modules)
    assert all(torch.equal(kept[key], value) for key, value in modules.state_dict().items())


def test_teachers_follow_and_learn_nothing(data: TrainingSet) -> None:
    for name in ("primaps", "hp", "cause"):
        settings = settings_of(name, steps=2)
        modules = prepared_modules(data, settings)
        teacher = modules.objective.teacher
        assert isinstance(teacher, Teacher)
        assert not any(each.requires_grad for each in teacher.parameters())
        before = [each.clone() for each in teacher.parameters()]
        modules.train()
        assert not teacher.training
        run_steps(modules, data, settings, modules.optimiser(settings))
        moved = zip(before, teacher.parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in moved), name


def test_a_grid_covers_the_image_with_its_colours_and_labels(data: TrainingSet) -> None:
    needs = Needs(grid=4, colours=True)

    def labels_of(path: Path) -> Any:
        return striped_labels(int(path.stem.split("_")[1]))

    files = {view.image.file.path: view.image.file.path for view in data.maps.views}
    labelled = replace(data, labels=ViewLabels(data.maps.views, LabelFiles(files, labels_of, 3)))
    settings = settings_of("stego")
    within = draw_batch(labelled, settings, needs, step=0)
    assert within.neighbour_of is not None
    assert within.grid is not None
    assert within.grid.positives is None  # they are images of the batch
    settings = replace(settings, training=replace(settings.training, pairs="separate"))
    grid = draw_batch(labelled, settings, needs, step=0).grid
    assert grid is not None
    assert grid.labels is not None
    assert grid.colours is not None
    assert grid.positive_colours is not None
    assert grid.images.nearest.shape == (4, 16, 4)
    # The upper row is the blue part, the lowest the green one.
    for colours, labels in zip(
        grid.colours.view(4, 4, 4, 3), grid.labels.view(4, 4, 4), strict=True
    ):
        assert labels[0].unique().tolist() == [0]
        assert labels[3].unique().tolist() == [2]
        assert (colours[0].argmax(dim=1) == 2).all()
        assert (colours[3].argmax(dim=1) == 1).all()


def test_without_neighbours_no_other_map_is_read(data: TrainingSet, tmp_path: Path) -> None:
    backbone = TinyBackbone()
    empty = FeatureStore(tmp_path / "empty", max_bytes=0)
    maps = FeatureMaps(data.maps.views, backbone, empty, data.maps.compute)
    settings = replace(settings_of("hp"), training=TrainingSettings(batch_size=2))
    draw_batch(replace(data, maps=maps), settings, Needs(neighbours=False, grid=3), step=0)
    assert backbone.passes == 2


class Mean(Objective):
    """Pull codes to their mean, and record how far they are."""

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings = inputs.settings

    def losses(
        self,
        head: SegmentationHead,
        batch: Batch,
        data: TrainingSet,
        *,
        step: int,  # noqa: ARG002
    ) -> ObjectiveStep:
        codes = F.normalize(sample_batch(head, batch, data, self.settings).anchors.codes, dim=2)
        spread = (codes - codes.mean(dim=1, keepdim=True)).square().sum(dim=2).mean()
        return ObjectiveStep(spread, codes, terms={"spread_of_codes": spread})


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectives, "_ENTRIES", dict(objectives._ENTRIES))
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.mark.usefixtures("_own_registry")
def test_a_fit_with_an_objective_of_ones_own(tmp_path: Path) -> None:
    register_objective("mean", Mean, uses=["samples"])
    photos = write_striped_folder(tmp_path / "photos")
    segmenter = segdistill.fit(
        photos, out=tmp_path / "run", backbone="tiny", resolution=64, settings=settings_of("mean")
    )
    assert segmenter.segment(photos / "picture_0.png").shape == (64, 96)
    history = read_history(tmp_path / "run" / "history.csv")
    assert history[-1].own["spread_of_codes"] == history[-1].total < history[0].total
    assert "Spread of codes" in (tmp_path / "run" / "report.html").read_text()
    # Elsewhere the objective is not registered: the run loads, only fits need it.
    objectives._ENTRIES.pop("mean")
    assert RunFolder(tmp_path / "run").read_settings().objective.name == "mean"
    assert segdistill.Segmenter.load(tmp_path / "run").settings.training["method"] == "stego"
    with pytest.raises(UserError, match="mean: no such objective"):
        segdistill.fit(photos, backbone="tiny", settings=settings_of("mean"))


@pytest.mark.usefixtures("_own_registry")
@pytest.mark.parametrize("name", ["smooseg", "primaps"])
def test_prototypes_of_an_objective_are_its_clusters(tmp_path: Path, name: str) -> None:
    photos = write_striped_folder(tmp_path / "photos")
    settings = settings_of(name, steps=3, clustering="probe")
    segmenter = segdistill.fit(photos, backbone="tiny", resolution=64, settings=settings)
    assert segmenter.centres.shape == (3, 5)


@pytest.mark.parametrize(
    ("objective", "more", "message"),
    [
        ({"name": "smoseg"}, {}, "no such objective; did you mean smooseg?"),
        (
            {"name": "hp", "weight_crf": 0.1},
            {},
            "--objective.weight-crf 0.1: has no effect on the objective hp, only on stego",
        ),
        ({"name": "primaps", "samples": 5}, {}, "only on stego, smooseg, eagle, cause"),
        ({"eagle": EagleSettings(grid=8)}, {}, r"--objective.eagle.\*: .* --objective.name eagle"),
        (
            {"name": "cause"},
            {"depth": DepthSettings(folder=Path("depth"))},
            "not guided by depth; omit --depth",
        ),
        ({"name": "eagle"}, {"method": "kmeans"}, "--method kmeans trains no head"),
    ],
)
def test_settings_without_effect_are_refused(
    objective: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    settings = FitSettings(objective=ObjectiveSettings(**objective), **more)
    with pytest.raises(UserError, match=message):
        check_objective(settings)


def test_what_has_an_effect_is_accepted() -> None:
    check_objective(FitSettings(depth=DepthSettings(folder=Path("depth"))))
    check_objective(FitSettings(method="kmeans"))
    for name in LATER:
        check_objective(settings_of(name))
    guided = FitSettings(depth=DepthSettings(folder=Path("depth"), guide="off"))
    check_objective(replace(guided, objective=ObjectiveSettings(name="smooseg")))


def test_names_of_segdistill_and_unknown_settings_are_refused() -> None:
    with pytest.raises(UserError, match="stego: the name of an objective of segdistill"):
        register_objective("stego", Mean)
    with pytest.raises(UserError, match="colour: not a setting"):
        register_objective("own", Mean, uses=["colour"])


def test_a_history_keeps_the_terms_of_an_objective(tmp_path: Path) -> None:
    history = [StepRecord(step, 0.5, 0, 0, 0, -1.0, own={"data": 0.25}) for step in (1, 2)]
    write_history(tmp_path / "history.csv", history)
    assert read_history(tmp_path / "history.csv") == history
    assert (tmp_path / "history.csv").read_text().splitlines()[0].endswith(",objective.data")
