"""Prefetching in threads: ordered and bounded; errors replace their results."""

import threading
import time
from collections.abc import Iterator

import pytest

from segdistill.prefetch import MAX_THREADS, in_threads, worker_threads


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_for_the_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item**2

    assert list(in_threads(slow_for_the_first, range(9), threads=3, ahead=4)) == [
        item**2 for item in range(9)
    ]


def test_items_taken_ahead_are_bounded() -> None:
    release = threading.Event()
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            if item == 3:  # three may be ready in addition to the one in use
                release.set()
            taken.append(item)
            yield item

    def wait(item: int) -> int:
        assert release.wait(5)
        return item

    results = in_threads(wait, items(), threads=2, ahead=3)
    used = 0
    for result in results:
        assert result == used
        used += 1
        assert len(taken) <= used + 3
    assert used == 20


def test_an_error_is_raised_in_place_of_its_result() -> None:
    def invert(item: int) -> float:
        return 1 / item

    results = in_threads(invert, [2, 4, 0, 8], threads=2, ahead=2)
    assert [next(results), next(results)] == [0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_work_that_has_not_started_is_cancelled_when_the_caller_stops() -> None:
    begun: list[int] = []
    first = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            first.wait(0.05)
        return item

    results = in_threads(work, range(100), threads=1, ahead=50)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 60


def test_the_caller_and_the_threads_work_at_once() -> None:
    own = threading.get_ident()
    asked: set[int] = set()

    def items() -> Iterator[int]:
        for item in range(3):
            asked.add(threading.get_ident())
            yield item

    idents = set(in_threads(lambda _: threading.get_ident(), items(), threads=2, ahead=1))
    assert asked == {own}
    assert own not in idents


def test_the_number_of_threads_is_bounded() -> None:
    assert 1 <= worker_threads() <= MAX_THREADS
