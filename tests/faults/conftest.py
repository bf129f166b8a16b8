"""One process that forks for all tests, since starting it takes seconds."""

from collections.abc import Iterator

import pytest

from tests.faults.__main__ import faulty_worlds
from tests.faults.worlds import Worlds


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with faulty_worlds(tmp_path_factory.mktemp("faults")) as worlds:
        yield worlds
