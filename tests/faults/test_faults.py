"""A tenth of the faults of ``python -m tests.faults``, of every kind."""

import os

import pytest

from tests.faults.__main__ import KINDS, as_table, inject
from tests.faults.worlds import Worlds

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")

COUNT = 20
QUICK = 2 * len(KINDS)
"""Of every kind, two faults are quick tests."""

SEED = 360
"""Drawn so that few fits are among them, which take longest, and many kinds of commands."""


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=pytest.mark.slow if number >= QUICK else [])
        for number in range(COUNT)
    ],
)
def test_nothing_is_lost_or_wrong_after_a_fault(worlds: Worlds, number: int) -> None:
    found = inject(worlds, number, SEED)
    assert not found.failure, f"{found.what}: {found.failure}"
    assert found.kind == list(KINDS)[number % len(KINDS)]


def test_a_table_counts_what_failed(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_trial: object) -> None:
        raise AssertionError("a name is lost")

    monkeypatch.setitem(KINDS, "kill", lost)
    found = inject(worlds, 0, SEED)
    assert found.failure == "a name is lost"
    assert "| SIGKILL at any moment | 1 | 0 | 0 | 0 |" in as_table([found])
