"""The command that installs an extra, as error messages give it."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segdistill.errors import install_command, missing_extra

CommandFor = Callable[[dict[str, Any] | None], str]


@pytest.fixture
def command_for(monkeypatch: pytest.MonkeyPatch) -> CommandFor:
    """The command for an installation, given its ``direct_url.json``."""

    def command(source: dict[str, Any] | None) -> str:
        text = None if source is None else json.dumps(source)
        found = SimpleNamespace(read_text=lambda _name: text)
        monkeypatch.setattr(metadata, "distribution", lambda _name: found)
        return install_command("app")

    return command


def test_a_checkout_gives_its_path(
    tmp_path: Path, command_for: CommandFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("")
    installed = {"url": checkout.as_uri(), "dir_info": {}}
    editable = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    assert command_for(installed) == f"pip install '{checkout}[app]'"
    assert command_for(editable) == f"pip install -e '{checkout}[app]'"
    monkeypatch.chdir(checkout)
    assert command_for(editable) == "pip install -e '.[app]'"


@pytest.mark.parametrize(
    "source",
    [
        None,
        {"url": "file:///no/such/folder", "dir_info": {}},
        {"url": "file:///tmp/segdistill-1.0-py3-none-any.whl", "archive_info": {}},
        {"url": "https://example.org/segdistill.git", "vcs_info": {}},
    ],
)
def test_other_installations_give_the_name(
    source: dict[str, Any] | None, command_for: CommandFor
) -> None:
    assert command_for(source) == "pip install 'segdistill[app]'"


def test_a_package_that_is_not_installed_gives_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_command("app") == "pip install 'segdistill[app]'"


def test_the_message_names_package_and_command() -> None:
    assert missing_extra("Ray", "ray") == f"needs Ray; run {install_command('ray')}"
    assert install_command("ray").endswith("[ray]'")
