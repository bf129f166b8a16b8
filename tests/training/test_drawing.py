"""Which images a batch holds: random ones, and neighbours of them."""

import random

import pytest
import torch

from segdistill.config.settings import FitSettings, Pairs, TrainingSettings
from segdistill.objective.sampling import random_partners
from segdistill.processes import Group
from segdistill.training.depth_guidance import SampledDepth
from segdistill.training.drawing import DrawnImages, SampledLocations, draw_images
from segdistill.training.grid import NEEDS_PAIRS, Needs


def neighbours_of(count: int, each: int) -> torch.Tensor:
    """The next images, going round."""
    return torch.tensor([[(i + 1 + k) % count for k in range(each)] for i in range(count)])


def drawn(
    neighbours: torch.Tensor,
    *,
    batch: int,
    pairs: Pairs = "shared",
    needs: Needs = NEEDS_PAIRS,
    seed: int = 0,
    group: Group | None = None,
) -> DrawnImages:
    settings = FitSettings(training=TrainingSettings(batch_size=batch, pairs=pairs))
    chooser = random.Random(seed)  # noqa: S311 - nothing secret
    return draw_images(neighbours, settings, needs, chooser, group or Group())


@pytest.mark.parametrize(("count", "each"), [(2, 1), (3, 2), (5, 2), (9, 7), (40, 7)])
@pytest.mark.parametrize("batch", [4, 7, 16])
def test_each_image_has_a_neighbour_in_the_batch(count: int, each: int, batch: int) -> None:
    neighbours = neighbours_of(count, each)
    for seed in range(10):
        images, positives, neighbour_of = drawn(neighbours, batch=batch, seed=seed)
        assert neighbour_of is not None
        assert 2 <= len(images) == len(set(images)) <= max(2, batch)
        assert positives == [images[position] for position in neighbour_of.tolist()]
        for image, positive in zip(images, positives, strict=True):
            near = neighbours[image].tolist()
            # The second image of a pair has the first as its neighbour.
            assert positive in near or image in neighbours[positive].tolist()
            assert positive != image


def test_half_of_the_images_are_random_and_bring_a_new_neighbour_each() -> None:
    neighbours = neighbours_of(100, 7)
    images, positives, _ = drawn(neighbours, batch=16)
    assert len(images) == 16
    assert positives == [*images[8:], *images[:8]]
    counts = torch.zeros(100)
    for seed in range(400):
        counts[drawn(neighbours, batch=16, seed=seed).images] += 1
    assert counts.min() > 0.5 * counts.mean()


def test_a_small_set_is_the_batch() -> None:
    images, positives, neighbour_of = drawn(neighbours_of(3, 2), batch=16)
    assert sorted(images) == [0, 1, 2]
    assert neighbour_of is not None
    assert all(image != positive for image, positive in zip(images, positives, strict=True))


def test_processes_draw_other_images() -> None:
    neighbours = neighbours_of(60, 5)
    whole = drawn(neighbours, batch=16).images[:8]
    shares = [drawn(neighbours, batch=16, group=Group(rank, 2)).images for rank in range(2)]
    assert [len(share) for share in shares] == [8, 8]
    assert [image for pair in zip(shares[0][:4], shares[1][:4], strict=True) for image in pair] == (
        whole
    )


@pytest.mark.parametrize(("batch", "processes"), [(3, 1), (16, 5), (16, 8)])
def test_few_images_per_process_have_separate_pairs(batch: int, processes: int) -> None:
    found = [
        drawn(neighbours_of(60, 5), batch=batch, group=Group(rank, processes))
        for rank in range(processes)
    ]
    assert all(each.neighbour_of is None for each in found)
    assert sum(len(each.images) for each in found) == batch


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_random_partners_are_neither_the_image_nor_its_neighbour(processes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(20):
        group = Group(seed % processes, processes)
        found = drawn(neighbours_of(60, 5), batch=16, group=group, seed=seed)
        assert found.neighbour_of is not None
        count = len(found.images)
        partners = random_partners(count, found.neighbour_of, generator=generator)
        assert ((partners >= 0) & (partners < count)).all()
        assert (partners != torch.arange(count)).all()
        assert (partners != found.neighbour_of).all()


def test_all_other_images_are_partners() -> None:
    generator = torch.Generator().manual_seed(0)
    neighbour_of = torch.tensor([1, 0, 3, 2])
    seen = {
        pair
        for _ in range(200)
        for pair in enumerate(random_partners(4, neighbour_of, generator=generator).tolist())
    }
    assert seen == {(0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1)}
    assert random_partners(2, torch.tensor([1, 0]), generator=generator).tolist() == [1, 0]


def test_separate_pairs_leave_the_batch_to_random_images() -> None:
    neighbours = neighbours_of(40, 3)
    images, positives, neighbour_of = drawn(neighbours, batch=16, pairs="separate")
    assert neighbour_of is None
    assert len(images) == len(set(images)) == 16
    for image, positive in zip(images, positives, strict=True):
        assert positive in neighbours[image].tolist()


@pytest.mark.parametrize("pairs", ["shared", "separate"])
def test_who_needs_no_neighbours_gets_none(pairs: Pairs) -> None:
    needs = Needs(neighbours=False)
    found = drawn(neighbours_of(40, 3), batch=16, pairs=pairs, needs=needs)
    images, positives, neighbour_of = found
    assert neighbour_of is None
    assert images == positives
    assert len(set(images)) == 16


def test_locations_of_neighbours_are_those_of_their_images() -> None:
    values = torch.arange(3.0)
    locations = values[:, None, None].expand(3, 4, 2)
    depth = SampledDepth(
        values[:, None].expand(3, 4),
        values[:, None, None].expand(3, 4, 3),
        values[:, None, None, None].expand(3, 2, 4, 4),
    )
    found = SampledLocations(locations, values[:, None].expand(3, 4), depth).of_images(
        torch.tensor([2, 0, 1])
    )
    assert found.depth is not None
    assert found.labels is not None
    for each in (found.locations, found.labels, *found.depth):
        assert each is not None
        assert each.flatten(1)[:, 0].tolist() == [2, 0, 1]
    bare = SampledLocations(locations, None, SampledDepth(*depth[:2])).of_images(torch.tensor([1]))
    assert bare.labels is None
    assert bare.depth is not None
    assert bare.depth.attention is None
    assert SampledLocations(locations, None, None).of_images(torch.tensor([1])).depth is None
