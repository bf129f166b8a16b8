"""``segdistill push`` as a user runs it, in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deployment.models import model_of
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


def push(run_folder: Path, endpoint: str, *more: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(run_folder.parent / "hub"),
        "HF_TOKEN": TOKEN,
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "segdistill.cli.main", "push", run_folder, *more]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=environment
    )


def test_a_run_is_shared_with_a_model_card(run_folder: Path) -> None:
    with running_hub() as hub:
        done = push(run_folder, hub.url, NAME, "--evaluation", run_folder, "--data", "CamVid")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Shared:  {hub.url}/{NAME}/commit/" in done.stdout
        assert f'segdistill.Segmenter.from_pretrained("{NAME}")' in done.stdout
        card = hub.repositories[NAME]["README.md"].decode()
        assert "On 12 images of CamVid" in card
        assert "25.0%" in card
        assert "apache-2.0" in card
        assert "classes: 2" in card
        assert "/home/me" not in card

        again = push(run_folder, hub.url, NAME)
        assert (again.returncode, again.stdout) == (2, "")
        assert "--overwrite" in again.stderr


def test_mistakes_are_reported_in_a_line(run_folder: Path, tmp_path: Path) -> None:
    done = push(run_folder, "http://127.0.0.1:9", NAME)
    assert done.returncode == 2
    assert "the Hugging Face hub did not take the model" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = push(run_folder, "http://127.0.0.1:9", NAME, "--evaluation", tmp_path)
    assert (done.returncode, "no evaluation.json" in done.stderr) == (2, True)
