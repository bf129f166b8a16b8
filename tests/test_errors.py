"""The command that installs an extra, as error messages give it."""

from pathlib import Path

import pytest

from segdistill.errors import _install_command, install_command, missing_extra


def test_a_checkout_gives_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text("")
    installed = {"url": checkout.as_uri(), "dir_info": {}}
    editable = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    assert _install_command("app", installed) == f"pip install '{checkout}[app]'"
    assert _install_command("app", editable) == f"pip install -e '{checkout}[app]'"
    monkeypatch.chdir(checkout)
    assert _install_command("app", editable) == "pip install -e '.[app]'"


@pytest.mark.parametrize(
    "source",
    [
        None,
        {"url": "file:///no/such/folder", "dir_info": {}},
        {"url": "file:///tmp/segdistill-1.0-py3-none-any.whl", "archive_info": {}},
        {"url": "https://example.org/segdistill.git", "vcs_info": {}},
    ],
)
def test_other_installations_give_the_name(source: dict[str, object] | None) -> None:
    assert _install_command("app", source) == "pip install 'segdistill[app]'"


def test_the_message_names_package_and_command() -> None:
    assert missing_extra("Ray", "ray") == f"needs Ray; run {install_command('ray')}"
    assert install_command("ray").endswith("[ray]'")
