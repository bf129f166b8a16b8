"""Fixtures that several tests share."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep features of tests out of the user's store."""
    monkeypatch.setenv("SEGDISTILL_CACHE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tests are many small steps, for which several threads cost more than they bring."""
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    """The folder of real images; skips where SEGDISTILL_DATA does not name one."""
    named = os.environ.get("SEGDISTILL_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("SEGDISTILL_DATA does not name a folder of real images")
    return Path(named)
