"""Fixtures that several tests share."""

import logging
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from tests.forking import Server

# On a busy machine any example may take long.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker neighbouring tests, which share models, and let it take over from others."""
    return import_module("xdist.scheduler").WorkStealingScheduling(config, log)


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary feature store instead of the user's."""
    monkeypatch.setenv("SEGDISTILL_CACHE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def _own_messages() -> Iterator[None]:
    """Remove the handler that a command, also one of a shared fixture, added for its messages."""
    logger = logging.getLogger("segdistill")
    for wait in (True, False):
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        if wait:
            yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Use one thread: with several, the many small operations of tests are slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def forking() -> Iterator[Server]:
    """Starts commands in processes of their own; a fresh start takes seconds."""
    if not hasattr(os, "fork"):
        pytest.skip("needs forks")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def real_data() -> Path:
    """The folder of real images; skips where SEGDISTILL_DATA does not name one."""
    named = os.environ.get("SEGDISTILL_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("SEGDISTILL_DATA does not name a folder of real images")
    return Path(named)
