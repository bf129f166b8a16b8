"""``segdistill push`` as a user runs it, in a separate process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.deployment.models import model_of
from tests.forking import Server
from tests.hub_server import TOKEN, running_hub

from segdistill.backbones import load_backbone

NAME = "someone/photos"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    model_of(load_backbone(), 96).save(folder)
    settings = "classes: 2\nlabels: /home/me/labels\ndepth:\n  folder: /home/me/depth\n"
    (folder / "settings.yaml").write_text(settings)
    (folder / "evaluation.json").write_text(
        '{"images": 12, "scores": {"cluster": {"accuracy": 0.5, "mean_iou": 0.25}}}'
    )
    return folder


Push = Callable[..., tuple[int, str, str]]


@pytest.fixture
def push(run_folder: Path, forking: Server) -> Push:
    """Run the command with the hub at an address; return exit status, output and errors."""

    def run(endpoint: str, *more: object) -> tuple[int, str, str]:
        variables = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(run_folder.parent / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": TOKEN,
            "NO_PROXY": "127.0.0.1",
        }
        return forking.run(run_folder.parent, "push", run_folder, *more, **variables)

    return run


def test_a_run_is_shared_with_a_model_card(run_folder: Path, push: Push) -> None:
    with running_hub() as hub:
        status, out, error = push(hub.url, NAME, "--evaluation", run_folder, "--data", "CamVid")
        assert (status, error) == (0, "")
        assert f"Shared:  {hub.url}/{NAME}/commit/" in out
        assert f'segdistill.Segmenter.from_pretrained("{NAME}")' in out
        card = hub.repositories[NAME]["README.md"].decode()
        assert "On 12 images of CamVid" in card
        assert "25.0%" in card
        assert "apache-2.0" in card
        assert "classes: 2" in card
        assert "/home/me" not in card

        status, out, error = push(hub.url, NAME)
        assert (status, out) == (2, "")
        assert "--overwrite" in error


def test_mistakes_are_reported_in_a_line(tmp_path: Path, push: Push) -> None:
    status, _, error = push("http://127.0.0.1:9", NAME)
    assert status == 2
    assert "the Hugging Face hub did not accept the model" in error
    assert len(error.splitlines()) == 1
    status, _, error = push("http://127.0.0.1:9", NAME, "--evaluation", tmp_path)
    assert (status, "no evaluation.json" in error) == (2, True)
