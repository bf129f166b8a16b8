"""Notices about files: each once, and only a few files of each kind by name."""

import logging
from collections.abc import Iterator

import pytest

from segdistill.decoding.notices import forget_notices, tell_once


@pytest.fixture(autouse=True)
def _all_notices() -> Iterator[None]:
    forget_notices()
    yield
    forget_notices()


def test_a_few_files_of_each_kind_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "segdistill"):
        for _ in range(2):  # reading a file again tells nothing new
            for number in range(6):
                tell_once(f"{number}.tif", "has two pages", kind="pages")
        tell_once("0.tif", "has no scale", kind="scale")
    assert [each.getMessage() for each in caplog.records] == [
        "0.tif: has two pages",
        "1.tif: has two pages",
        "2.tif: has two pages",
        "3.tif: has two pages; further files of this kind are not listed",
        "0.tif: has no scale",
    ]
    caplog.clear()
    forget_notices()
    with caplog.at_level(logging.WARNING, "segdistill"):
        tell_once("5.tif", "has two pages", kind="pages")
    assert [each.getMessage() for each in caplog.records] == ["5.tif: has two pages"]
