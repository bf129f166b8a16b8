"""``segdistill sample``, interrupted."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

from segdistill.sample import dataset
from segdistill.sample.scene import render_scene

SMALL = ["--train", 2, "--val", 1, "--width", 32, "--height", 32, "--quiet"]


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_sample_is_not_taken_for_complete(
    tmp_path: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    world = Path("demo/world")
    if there:
        world.mkdir(parents=True)
    calls = []

    def interrupted(*arguments: Any) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render_scene(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "render_scene", interrupted)
        status, _, error = segdistill("sample", world, *SMALL)
    assert (status, error) == (130, "\nsegdistill sample: interrupted\n")
    assert list(Path("demo").rglob("*")) == ([world] if there else [])
    assert segdistill("sample", world, *SMALL)[0] == 0
    assert {path.name for path in world.iterdir()} == {
        "README.txt",
        "classes.txt",
        "depth",
        "imgs",
        "labels",
    }
    assert list(Path("demo").iterdir()) == [world]
    assert world.stat().st_mode == Path("demo").stat().st_mode
