"""Schedules of weights, shifts and numbers of samples."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.config.settings import DepthSettings, FitSettings, ObjectiveSettings
from segdistill.objective.schedules import depth_shift_at, depth_weight, samples_per_side


def with_samples(samples: int, factor: float, every: int = 1, minimum: int = 1) -> FitSettings:
    return FitSettings(
        objective=ObjectiveSettings(samples=samples),
        depth=DepthSettings(samples_factor=factor, samples_every=every, samples_minimum=minimum),
    )


@pytest.mark.parametrize("every", [1, 250])
@pytest.mark.parametrize("released", [False, True])
def test_values_are_multiplied_once_a_period(every: int, released: bool) -> None:
    depth = DepthSettings(
        weight=0.19,
        weight_factor=0.6,
        weight_every=every,
        shift_factor=0.6,
        shift_every=every,
        as_released=released,
    )
    settings = FitSettings(depth=depth)
    value = 0.19 * (0.6 if released else 1)
    for step in range(3 * every):
        if step and step % every == 0:
            value *= 0.6
        assert depth_weight(settings, step) == pytest.approx(value)
        assert depth_shift_at(settings, -0.19, step) == pytest.approx(-value)


def test_values_are_constant_by_default() -> None:
    settings = FitSettings()
    for step in (0, 1, 10**6):
        assert depth_weight(settings, step) == 0.16
        assert depth_shift_at(settings, 0.4, step) == 0.4
        assert samples_per_side(settings, step) == 11


def test_a_huge_number_of_periods_is_no_trouble() -> None:
    depth = DepthSettings(weight_factor=0.5, weight_every=1)
    assert depth_weight(FitSettings(depth=depth), 10**6) == 0


@given(
    start=st.integers(2, 100),
    factor=st.floats(0.01, 1),
    every=st.integers(1, 500),
    minimum=st.integers(1, 10),
    steps=st.lists(st.integers(0, 10_000), min_size=2, max_size=5).map(sorted),
)
def test_samples_never_rise_nor_pass_their_minimum(
    start: int, factor: float, every: int, minimum: int, steps: list[int]
) -> None:
    settings = with_samples(start, factor, every, minimum)
    counts = [samples_per_side(settings, step) for step in steps]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= min(minimum, start)


def test_samples_are_rounded_down_as_in_the_released_code() -> None:
    published = with_samples(11, 0.9, 1000)
    assert [samples_per_side(published, step) for step in (0, 1000, 2000)] == [11, 9, 8]
    released = replace(published, depth=replace(published.depth, as_released=True))
    assert [samples_per_side(released, step) for step in (0, 999, 1000)] == [9, 9, 8]


def test_samples_are_not_a_victim_of_floating_point() -> None:
    assert samples_per_side(with_samples(100, 0.7), 2) == 49


def test_there_is_always_one_sample() -> None:
    assert samples_per_side(with_samples(5, 0.1), 50) == 1
