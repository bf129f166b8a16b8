"""Training from stored features: exact, and the same whether interrupted or not."""

from dataclasses import replace
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import TinyBackbone, write_striped_folder
from tests.plain.sampling import sample_map

from segdistill.config.settings import (
    FitSettings,
    HeadSettings,
    ObjectiveSettings,
    Pairs,
    TrainingSettings,
)
from segdistill.devices import choose_compute
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.features.locations import sample_locations
from segdistill.features.preparation import fit_preparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import augmented_views, views_of
from segdistill.images.augmentation import Augmentation
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Crop, Viewing
from segdistill.objective.fused_interpolation import interpolate_cells
from segdistill.objective.sampling import random_locations, shares_of_locations
from segdistill.objective.stego import Shifts
from segdistill.processes import Group
from segdistill.runs.history import StepRecord
from segdistill.training import batches
from segdistill.training import training_set as training_sets
from segdistill.training.batches import draw_batch, read_copies, read_guidance
from segdistill.training.fit import check_enough
from segdistill.training.grid import Needs
from segdistill.training.locations import draw_locations
from segdistill.training.loop import seeded, train
from segdistill.training.modules import TrainingModules
from segdistill.training.neighbourhoods import Neighbourhoods, read_neighbourhoods
from segdistill.training.sampling import calibrate_shifts, codes_at, sample_batch
from segdistill.training.training_set import (
    NO_AUXILIARY_INPUTS,
    LabelFiles,
    TrainingSet,
    ViewLabels,
    ViewSaliency,
)

SHIFTS = Shifts(0.1, 0.1, 0.3)
SETTINGS = FitSettings(
    classes=3,
    objective=ObjectiveSettings(samples=4),
    training=TrainingSettings(steps=30, batch_size=4, learning_rate=5e-3),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("data")
    images, _ = check_images(find_images(write_striped_folder(folder / "photos")))
    views = views_of(images, Viewing(64, 16))
    store = FeatureStore(folder / "store", max_bytes=10**8)
    maps = FeatureMaps(views, TinyBackbone(), store, choose_compute("cpu", "32-true"))
    maps.fill_store()
    locations = sample_locations(maps, 10_000, seed=0).features
    neighbours = torch.tensor([[j for j in range(6) if j != i] for i in range(6)])
    return TrainingSet(
        maps,
        neighbours,
        fit_preparation(locations, (3, 3), standardise=True, components=4),
    )


def fresh_modules(
    settings: FitSettings = SETTINGS, *, label_classes: int | None = None
) -> TrainingModules:
    with seeded(0):
        modules = TrainingModules(4, 3, settings, label_classes=label_classes)
    modules.objective.shifts = SHIFTS
    return modules


def run_steps(
    modules: TrainingModules, data: TrainingSet, settings: FitSettings
) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        modules,
        modules.optimiser(settings),
        data,
        settings,
        choose_compute("cpu"),
        on_step=lambda record, _: records.append(record),
    )
    return records


class Trained(NamedTuple):
    modules: TrainingModules
    records: list[StepRecord]


@pytest.fixture(scope="module")
def plain(data: TrainingSet) -> Trained:
    """Modules trained without optional terms."""
    modules = fresh_modules()
    return Trained(modules, run_steps(modules, data, SETTINGS))


def raw_at_locations(part: Neighbourhoods) -> torch.Tensor:
    return interpolate_cells(part.cells.float(), part.nearest, part.weights)


def test_processes_share_a_batch_out(data: TrainingSet) -> None:
    whole = draw_batch(data, SETTINGS, step=3)
    parts = [draw_batch(data, SETTINGS, step=3, group=Group(rank, 2)) for rank in range(2)]
    sizes = [len(part.partners[0]) for part in parts]
    assert sum(sizes) == len(whole.partners[0])
    assert max(sizes) - min(sizes) <= 1
    # They look at other locations each.
    assert not torch.equal(parts[0].images.weights, parts[1].images.weights)
    again = draw_batch(data, SETTINGS, step=3, group=Group(1, 2))
    assert torch.equal(again.images.weights, parts[1].images.weights)


def test_each_process_needs_an_image(data: TrainingSet) -> None:
    maps = data.maps

    def of_processes(size: int) -> FeatureMaps:
        compute = replace(maps.compute, group=Group(0, size))
        return FeatureMaps(maps.views, maps.backbone, maps.store, compute)

    check_enough(of_processes(6), SETTINGS)
    with pytest.raises(
        UserError, match="6 images are too few for 7 processes; use fewer processes"
    ):
        check_enough(of_processes(7), SETTINGS)


def test_the_loss_falls(plain: Trained) -> None:
    records = plain.records
    assert [record.step for record in records] == list(range(1, 31))
    first = sum(record.total for record in records[:5])
    last = sum(record.total for record in records[-5:])
    assert last < first
    assert records[-1].clusters < records[0].clusters


def test_the_number_of_threads_changes_nothing_but_rounding(
    data: TrainingSet, plain: Trained
) -> None:
    maps = data.maps
    compute = replace(maps.compute, threads=3)
    threaded = FeatureMaps(maps.views, maps.backbone, maps.store, compute)
    modules = fresh_modules()
    records = run_steps(modules, replace(data, maps=threaded), SETTINGS)
    totals = torch.tensor([[record.total for record in each] for each in (records, plain.records)])
    torch.testing.assert_close(totals[0], totals[1], rtol=1e-3, atol=1e-4)


def test_the_head_at_neighbours_gives_the_codes_of_the_whole_map(data: TrainingSet) -> None:
    head = fresh_modules().head.eval()
    locations = random_locations(2, 16)
    part = read_neighbourhoods(data.maps.read([0, 3]), locations)
    codes = codes_at(part, head, data)
    for number, image in enumerate([0, 3]):
        whole = head(data.preparation(torch.from_numpy(data.maps[image].copy()).float()[None]))
        expected = sample_map(whole.permute(0, 3, 1, 2), locations[number][None, :, None])
        torch.testing.assert_close(codes[number], expected[0, :, :, 0].mT, atol=1e-5, rtol=1e-5)


def test_a_batch_depends_on_seed_and_step_alone(data: TrainingSet) -> None:
    first = draw_batch(data, SETTINGS, step=7)
    torch.rand(5)
    again = draw_batch(data, SETTINGS, step=7)
    other = draw_batch(data, SETTINGS, step=8)
    assert all(map(torch.equal, first.images[:3], again.images[:3]))
    assert not torch.equal(first.images.weights, other.images.weights)
    assert len(first.partners) == SETTINGS.objective.random_draws


def test_features_are_prepared_while_the_batch_is_read(data: TrainingSet) -> None:
    needs = Needs(grid=4)
    read = next(batches.batches(data, SETTINGS, needs, first_step=7))
    raw = draw_batch(data, SETTINGS, needs, step=7)
    for part in (read.images, read.grid and read.grid.images):
        assert part
        assert part.is_prepared
    torch.testing.assert_close(read.images.cells, data.preparation(raw.images.cells.float()))
    assert torch.equal(read.images.nearest, raw.images.nearest)
    head = fresh_modules().head.eval()
    assert torch.equal(codes_at(read.images, head, data), codes_at(raw.images, head, data))


@pytest.mark.parametrize("pairs", ["shared", "separate"])
def test_a_batch_without_a_store_is_the_same_and_sees_each_image_once(
    data: TrainingSet, tmp_path: Path, pairs: Pairs
) -> None:
    backbone = TinyBackbone()
    empty = FeatureStore(tmp_path / "empty", max_bytes=0)
    streamed = replace(data, maps=FeatureMaps(data.maps.views, backbone, empty, data.maps.compute))
    settings = replace(
        SETTINGS,
        objective=replace(SETTINGS.objective, weight_crf=0.1),
        training=replace(SETTINGS.training, pairs=pairs),
    )
    batch, expected = (draw_batch(each, settings, step=2) for each in (streamed, data))
    for part, other in zip(batch.parts_read, expected.parts_read, strict=True):
        assert torch.equal(part.cells, other.cells)
        assert torch.equal(part.nearest, other.nearest)
    assert batch.guidance is not None
    assert expected.guidance is not None
    assert torch.equal(batch.guidance.around.cells, expected.guidance.around.cells)
    assert backbone.passes <= len(data.maps)


def test_training_leaves_the_callers_randomness_alone(data: TrainingSet) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run_steps(fresh_modules(), data, SETTINGS)
    torch.testing.assert_close(torch.rand(3), expected)


def test_shifts_are_measured_unless_given(data: TrainingSet) -> None:
    shifts = calibrate_shifts(data, SETTINGS)
    assert -1 < shifts.self_pairs < 1
    assert shifts.random_pairs > shifts.self_pairs
    given = FitSettings(classes=3, objective=ObjectiveSettings(samples=4, shift_self=0.25))
    again = calibrate_shifts(data, given)
    assert again.self_pairs == 0.25


@pytest.mark.parametrize("term", ["reconstruction", "contrastive_crf"])
def test_optional_terms_fall_too(
    data: TrainingSet, plain: Trained, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "GUIDANCE_LOCATIONS", 200)
    objective = ObjectiveSettings(
        samples=4,
        weight_reconstruction=1.0 if term == "reconstruction" else 0.0,
        weight_crf=0.1 if term == "contrastive_crf" else 0.0,
    )
    settings = replace(SETTINGS, objective=objective)
    modules = fresh_modules(settings)
    records = run_steps(modules, data, settings)
    values = [getattr(record, term) for record in records]
    assert sum(values[-5:]) < sum(values[:5])
    assert all(getattr(record, term) == 0 for record in plain.records)


def test_guidance_reads_the_image_where_it_reads_the_features(data: TrainingSet) -> None:
    """A backbone that averages colours: features and colours of a cell must agree."""
    generator = torch.Generator().manual_seed(0)
    guidance = read_guidance(data.maps, [2, 5], data.maps.read([2, 5]), generator)
    features = raw_at_locations(guidance.around)
    blue = torch.stack([features[..., 2].flatten(), guidance.colours[..., 2].flatten()])
    assert torch.corrcoef(blue)[0, 1] > 0.9


def with_copies(data: TrainingSet, count: int) -> TrainingSet:
    maps = data.maps
    views = augmented_views(maps.views, count)
    return replace(data, copies=FeatureMaps(views, maps.backbone, maps.store, maps.compute))


def with_labels(data: TrainingSet, folder: Path) -> TrainingSet:
    """Label files that say which third of the picture a pixel lies in, from top to bottom."""
    labels = np.repeat([0, 1, 2], 10)[:, None] * np.ones((1, 40), np.int64)
    of_image = {view.image.file.path: folder for view in data.maps.views[:-1]}
    files = LabelFiles(of_image, lambda _path: labels, 3)
    return replace(data, labels=ViewLabels(data.maps.views, files))


def test_alignment_reads_a_copy_where_it_shows_the_same(data: TrainingSet) -> None:
    """A backbone of average colours: a copy that is only mirrored and cropped agrees."""
    maps = data.maps
    moved = [
        replace(view, augmentation=Augmentation(Crop(0.1, 0.05, 0.85, 0.9), mirrored=True))
        for view in maps.views
    ]
    copies = FeatureMaps(moved, maps.backbone, maps.store, maps.compute)
    generator = torch.Generator().manual_seed(0)
    locations = random_locations(3, 64, generator=generator)
    around, shown = read_copies(copies, 1, [0, 2, 4], locations, generator)
    originals = read_neighbourhoods(maps.read([0, 2, 4]), locations)
    there, here = (raw_at_locations(part)[shown][:, :3] for part in (originals, around))
    # The three stripes differ by up to 0.6; a wrong location would land in another.
    assert (there - here).abs().mean() < 0.02
    for image, at, found in zip([0, 2, 4], locations, shown, strict=True):
        x, y = shares_of_locations(at, *maps.grid(image)).unbind(1)
        inside = (x >= 0.05) & (x <= 0.95) & (y >= 0.1) & (y <= 0.95)
        assert found.tolist() == inside.tolist()
        assert 0 < inside.sum() < 64


@pytest.mark.parametrize(("images", "wanted", "each"), [(6, 4, 4), (6, 40, 33), (300, 4, 1)])
def test_the_number_of_copies_is_bounded(
    data: TrainingSet, monkeypatch: pytest.MonkeyPatch, images: int, wanted: int, each: int
) -> None:
    monkeypatch.setattr(training_sets, "MOST_COPIES", 200)
    objective = replace(SETTINGS.objective, weight_alignment=0.5, augmentations=wanted)
    maps = data.maps
    views = list(islice(cycle(maps.views), images))
    many = FeatureMaps(views, maps.backbone, maps.store, maps.compute)
    made = training_sets.training_set(
        many,
        data.neighbours,
        data.preparation,
        NO_AUXILIARY_INPUTS,
        replace(SETTINGS, objective=objective),
    )
    assert made.copies is not None
    assert len(made.copies) == images * each


def test_alignment_falls_and_needs_copies(data: TrainingSet) -> None:
    objective = replace(SETTINGS.objective, weight_alignment=1.0, augmentations=2)
    settings = replace(SETTINGS, objective=objective)
    modules = fresh_modules(settings)
    records = run_steps(modules, with_copies(data, 2), settings)
    values = [record.alignment for record in records]
    assert sum(values[-5:]) < sum(values[:5])


def test_locations_are_drawn_where_images_are_salient(data: TrainingSet, tmp_path: Path) -> None:
    picture = np.zeros((64, 96), np.uint8)
    picture[:16, 48:] = 255  # the upper right corner
    Image.fromarray(picture).save(tmp_path / "salient.png")
    Image.fromarray(np.zeros_like(picture)).save(tmp_path / "nothing.png")
    paths = [view.image.file.path for view in data.maps.views]
    of_image = {paths[0]: tmp_path / "salient.png", paths[1]: tmp_path / "nothing.png"}
    guided = replace(data, saliency=ViewSaliency(data.maps.views, of_image))
    locations = draw_locations(guided, [0, 1, 2], 400, torch.Generator().manual_seed(0))
    corner = (locations[..., 0] > -0.1) & (locations[..., 1] < -0.4)
    assert 0.85 < corner[0].float().mean() < 1.0
    for anywhere in (corner[1], corner[2]):
        assert anywhere.float().mean() < 0.3


def test_features_can_be_interpolated_in_place_of_codes(data: TrainingSet) -> None:
    settings = replace(SETTINGS, objective=replace(SETTINGS.objective, interpolate="features"))
    head = fresh_modules().head.eval()
    batch = draw_batch(data, SETTINGS, step=0)
    with torch.no_grad():
        between, as_usual = (sample_batch(head, batch, data, each) for each in (settings, SETTINGS))
        for each, usual in zip(between, as_usual, strict=True):
            assert torch.equal(each.features, usual.features)
            torch.testing.assert_close(each.codes, head(each.features))
            assert not torch.allclose(each.codes, usual.codes)


def test_labels_of_shared_pairs_are_those_of_the_images(data: TrainingSet, tmp_path: Path) -> None:
    labelled = with_labels(data, tmp_path)
    batch = draw_batch(labelled, SETTINGS, step=3)
    assert batch.labels is not None
    assert batch.neighbour_of is not None
    anchors, positives, negatives = batch.labels
    assert torch.equal(positives, anchors[batch.neighbour_of])
    assert torch.equal(negatives, anchors)
    settings = replace(SETTINGS, training=replace(SETTINGS.training, pairs="separate"))
    separate = draw_batch(labelled, settings, step=3)
    assert separate.labels is not None
    assert not torch.equal(separate.labels.negatives, separate.labels.anchors)


def test_labels_are_read_where_features_are(data: TrainingSet, tmp_path: Path) -> None:
    labelled = with_labels(data, tmp_path)
    batch = draw_batch(labelled, SETTINGS, step=3)
    assert batch.labels is not None
    labels = labelled.labels
    assert labels is not None
    shares = torch.tensor([[0.5, 0.1], [0.2, 0.5], [0.9, 0.99]])
    assert labels.at(0, shares).tolist() == [0, 1, 2]
    assert labels.at(5, shares).tolist() == [255, 255, 255]  # the picture without labels
    square = replace(data.maps.views[0], viewing=Viewing(64, 16, square=True))
    assert square.cut(np.arange(96)[None].repeat(64, 0)).shape == (64, 64)
    assert square.cut(np.arange(96)[None].repeat(64, 0))[0, 0] == 16


def test_the_linear_probe_learns_and_leaves_the_head_alone(
    data: TrainingSet, plain: Trained, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, training=replace(SETTINGS.training, linear_probe=True))
    watched = fresh_modules(settings, label_classes=3)
    records = run_steps(watched, with_labels(data, tmp_path), settings)
    assert records[-1].linear < records[0].linear
    assert records[-1].linear_accuracy > 0.5
    for one, other in zip(plain.modules.head.parameters(), watched.head.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_batch_without_labels_gives_no_nan(data: TrainingSet) -> None:
    settings = replace(SETTINGS, training=replace(SETTINGS.training, linear_probe=True, steps=2))
    modules = fresh_modules(settings, label_classes=3)
    nothing = LabelFiles({}, lambda _path: np.zeros((1, 1), np.int64), 3)
    unlabelled = replace(data, labels=ViewLabels(data.maps.views, nothing))
    records = run_steps(modules, unlabelled, settings)
    assert all(np.isfinite(list(record.losses.values())).all() for record in records)


def test_labels_as_correlations_pull_codes_of_a_label_together(
    data: TrainingSet, tmp_path: Path
) -> None:
    objective = replace(SETTINGS.objective, correlations="labels")
    settings = replace(SETTINGS, objective=objective)
    labelled = with_labels(data, tmp_path)
    modules = fresh_modules(settings)
    records = run_steps(modules, labelled, settings)
    totals = [record.total for record in records]
    assert sum(totals[-5:]) < sum(totals[:5])
    with pytest.raises(ValueError, match="no labels"):
        run_steps(fresh_modules(settings), data, settings)


def test_probes_start_anew_when_asked(data: TrainingSet) -> None:
    training = replace(SETTINGS.training, steps=6, reset_probes_every=3)
    settings = replace(SETTINGS, training=training)
    modules, plain = fresh_modules(settings), fresh_modules()
    optimiser = modules.optimiser(settings)
    before: list[torch.Tensor] = []
    train(
        modules,
        optimiser,
        data,
        settings,
        choose_compute("cpu"),
        on_step=lambda *_: before.append(modules.centres.detach().clone()),
    )
    moved = [(b - a).abs().mean().item() for a, b in pairwise(before)]
    assert moved[2] > 10 * max(moved[:2] + moved[3:])
    assert optimiser.state[modules.centres]["step"] == 3
    run_steps(plain, data, replace(SETTINGS, training=replace(SETTINGS.training, steps=6)))
    for one, other in zip(plain.head.parameters(), modules.head.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_code_that_is_not_continuous_has_a_channel_a_class(data: TrainingSet) -> None:
    settings = replace(SETTINGS, head=HeadSettings(continuous=False))
    modules = TrainingModules(4, 3, settings)
    part = draw_batch(data, settings, step=0).images
    assert codes_at(part, modules.head, data).shape[-1] == 3
    assert modules.centres.shape == (3, 3)
