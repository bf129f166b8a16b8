"""Schedules of weights, shifts and numbers of samples."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.config.settings import DepthSettings, FitSettings, ObjectiveSettings
from segdistill.objective.schedules import Schedule, depth_schedules


@pytest.mark.parametrize("every", [1, 250])
@pytest.mark.parametrize("early", [False, True])
def test_exponential_is_one_product_a_period(every: int, early: bool) -> None:
    schedule = Schedule(0.19, "exponential", 0.6, every, minimum=0.01, early=early)
    value = 0.19 * (0.6 if early else 1)
    for step in range(3 * every):
        if step and step % every == 0:
            value *= 0.6
        assert schedule.at(step) == pytest.approx(max(value, 0.01))


def test_linear_reaches_its_target_and_stays() -> None:
    schedule = Schedule(1.0, "linear", factor=0.2, every=4)
    values = [schedule.at(step) for step in range(7)]
    assert values == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    assert (
        Schedule(1.0, "linear", factor=0.2, every=4, early=True).at(0) == 1
    )  # only products can come early


def test_constant_is_constant() -> None:
    assert {Schedule(0.13).at(step) for step in (0, 1, 10**6)} == {0.13}


@given(
    start=st.floats(0, 100),
    factor=st.floats(0.01, 1),
    every=st.integers(1, 500),
    minimum=st.floats(0, 10),
    steps=st.lists(st.integers(0, 10_000), min_size=2, max_size=5).map(sorted),
)
def test_a_decay_never_rises_nor_passes_its_minimum(
    start: float, factor: float, every: int, minimum: float, steps: list[int]
) -> None:
    schedule = Schedule(start, "exponential", factor=factor, every=every, minimum=minimum)
    values = [schedule.at(step) for step in steps]
    assert values == sorted(values, reverse=True)
    assert min(values) >= minimum
    counts = [schedule.count_at(step) for step in steps]
    assert all(isinstance(count, int) and count >= 1 for count in counts)


def test_counts_are_rounded_down_as_in_the_released_code() -> None:
    published = Schedule(11, "exponential", factor=0.9, every=1000)
    assert [published.count_at(step) for step in (0, 1000, 2000)] == [11, 9, 8]
    early = replace(published, early=True)
    assert [early.count_at(step) for step in (0, 999, 1000)] == [9, 9, 8]


def test_counts_are_not_a_victim_of_floating_point() -> None:
    assert Schedule(100, "exponential", factor=0.7).count_at(2) == 49


def test_there_is_always_one() -> None:
    assert Schedule(5, "exponential", factor=0.1).count_at(50) == 1


def test_a_huge_number_of_periods_is_no_trouble() -> None:
    assert Schedule(1.0, "exponential", factor=0.5).at(10**6) == 0


def test_schedules_follow_the_settings() -> None:
    depth = DepthSettings(
        weight=0.2, weight_factor=0.5, weight_every=10, samples_factor=0.9, samples_every=100
    )
    plan = depth_schedules(
        FitSettings(depth=depth, objective=ObjectiveSettings(samples=11)), shift=0.4
    )
    assert [plan["weight"].at(step) for step in (0, 9, 10, 20)] == [0.2, 0.2, 0.1, 0.05]
    assert plan["shift"].at(1000) == 0.4
    assert [plan["samples"].count_at(step) for step in (0, 100)] == [11, 9]
    released = depth_schedules(FitSettings(depth=replace(depth, as_released=True)))
    assert released["samples"].count_at(0) == 9
    negative = depth_schedules(FitSettings(depth=replace(depth, shift_factor=0.5)), shift=-0.2)
    assert negative["shift"].at(0) == -0.2  # a minimum of 0 is no rule for it
