"""Training from stored features: exact, and the same whether broken off or not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.config.settings import FitSettings, ObjectiveSettings, TrainingSettings
from segdistill.devices import choose_compute
from segdistill.features.extract import FeatureMaps, views_of
from segdistill.features.places import spread_places
from segdistill.features.preparation import fit_preparation
from segdistill.features.store import FeatureStore
from segdistill.images.folder import check_images, find_images
from segdistill.images.resize import Crop, Viewing
from segdistill.objective.sampling import random_places, sample_map
from segdistill.objective.stego import Shifts
from segdistill.training.batches import draw_batch, read_guidance, read_neighbourhoods
from segdistill.training.loop import (
    StepRecord,
    Trainee,
    TrainingSet,
    calibrate_shifts,
    interpolate,
    seeded,
    train,
)

SETTINGS = FitSettings(
    classes=3,
    objective=ObjectiveSettings(samples=4),
    training=TrainingSettings(steps=30, batch_size=4, learning_rate=5e-3),
)


@pytest.fixture
def data(tmp_path: Path) -> TrainingSet:
    images, _ = check_images(find_images(write_striped_folder(tmp_path / "photos")))
    views = views_of(images, [Crop()], Viewing(64, 16))
    store = FeatureStore(tmp_path / "store", max_bytes=10**8)
    maps = FeatureMaps(views, TinyBackbone(), store, choose_compute("cpu"))
    maps.fill_store()
    places = spread_places(maps, 10_000, seed=0)
    neighbours = torch.tensor([[j for j in range(6) if j != i] for i in range(6)])
    return TrainingSet(
        maps,
        neighbours,
        fit_preparation(places, (3, 3), standardise=True, components=4),
        Shifts(0.1, 0.1, 0.3),
    )


def fresh_trainee() -> Trainee:
    with seeded(0):
        return Trainee(4, 3, SETTINGS)


def run_steps(trainee: Trainee, data: TrainingSet, settings: FitSettings) -> list[StepRecord]:
    records: list[StepRecord] = []
    train(
        trainee,
        trainee.optimiser(settings),
        data,
        settings,
        choose_compute("cpu"),
        on_step=lambda record, _trainee, _optimiser: records.append(record),
    )
    return records


def test_the_loss_falls(data: TrainingSet) -> None:
    records = run_steps(fresh_trainee(), data, SETTINGS)
    assert [record.step for record in records] == list(range(1, 31))
    first = sum(record.total for record in records[:5])
    last = sum(record.total for record in records[-5:])
    assert last < first
    assert records[-1].clusters < records[0].clusters


def test_the_head_at_neighbours_gives_the_codes_of_the_whole_map(data: TrainingSet) -> None:
    head = fresh_trainee().head.eval()
    places = random_places(2, 16)
    part = read_neighbourhoods(data.maps, [0, 3], places)
    codes = interpolate(head(data.preparation(part.features.float())), part.weights)
    for number, image in enumerate([0, 3]):
        whole = head(data.preparation(torch.from_numpy(data.maps[image].copy()).float()[None]))
        expected = sample_map(whole.permute(0, 3, 1, 2), places[number][None, :, None])
        torch.testing.assert_close(codes[number], expected[0, :, :, 0].mT, atol=1e-5, rtol=1e-5)


def test_a_batch_depends_on_seed_and_step_alone(data: TrainingSet) -> None:
    first = draw_batch(data.maps, data.neighbours, SETTINGS, step=7)
    torch.rand(5)
    again = draw_batch(data.maps, data.neighbours, SETTINGS, step=7)
    other = draw_batch(data.maps, data.neighbours, SETTINGS, step=8)
    torch.testing.assert_close(first.anchors.features, again.anchors.features)
    assert not torch.equal(first.anchors.weights, other.anchors.weights)
    assert len(first.partners) == SETTINGS.objective.random_draws


def test_training_leaves_the_callers_randomness_alone(data: TrainingSet) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run_steps(fresh_trainee(), data, SETTINGS)
    torch.testing.assert_close(torch.rand(3), expected)


def test_shifts_are_measured_unless_given(data: TrainingSet) -> None:
    shifts = calibrate_shifts(data.maps, data.neighbours, data.preparation, SETTINGS)
    assert -1 < shifts.self_pairs < 1
    assert shifts.random_pairs > shifts.self_pairs
    given = FitSettings(classes=3, objective=ObjectiveSettings(samples=4, shift_self=0.25))
    again = calibrate_shifts(data.maps, data.neighbours, data.preparation, given)
    assert again.self_pairs == 0.25


@pytest.mark.parametrize("term", ["reconstruction", "contrastive_crf"])
def test_optional_terms_fall_too(data: TrainingSet, term: str) -> None:
    objective = ObjectiveSettings(
        samples=4,
        weight_reconstruction=1.0 if term == "reconstruction" else 0.0,
        weight_crf=0.1 if term == "contrastive_crf" else 0.0,
    )
    settings = replace(SETTINGS, objective=objective)
    with seeded(0):
        trainee = Trainee(4, 3, settings)
    records = run_steps(trainee, data, settings)
    values = [getattr(record, term) for record in records]
    assert sum(values[-5:]) < sum(values[:5])
    plain = run_steps(fresh_trainee(), data, SETTINGS)
    assert all(getattr(record, term) == 0 for record in plain)


def test_guidance_reads_the_image_where_it_reads_the_features(data: TrainingSet) -> None:
    """A backbone that averages colours: features and colours of a cell must agree."""
    guidance = read_guidance(data.maps, [2, 5], torch.Generator().manual_seed(0))
    features = interpolate(guidance.around.features.float(), guidance.around.weights)
    blue = torch.stack([features[..., 2].flatten(), guidance.colours[..., 2].flatten()])
    assert torch.corrcoef(blue)[0, 1] > 0.9
