"""Worlds for all tests, since what they are made of takes seconds."""

from collections.abc import Iterator

import pytest

from tests.faults.__main__ import faulty_worlds
from tests.faults.worlds import Worlds
from tests.forking import Server


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory, forking: Server) -> Iterator[Worlds]:
    with faulty_worlds(tmp_path_factory.mktemp("faults"), forking) as worlds:
        yield worlds
