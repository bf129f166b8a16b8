"""The benchmarks' smallest sizes: all forms agree, and the command fails where one does not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import farthest_points, fit_time, on_a_gpu, video
from benchmarks.__main__ import MODULES, main
from benchmarks.table import HEADINGS, Agreement, Conditions, Row, best_of, peak_megabytes
from PIL import Image

from segdistill.devices import choose_compute
from tests.inference.videos import striped_frames
from tests.model.test_segmenter import tiny_segmenter

ROOT = Path(__file__).parents[1]


def printed_by(*command: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_smallest_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--smallest", "--device", "cpu"]) == 0
    circumstances, _, *table = capsys.readouterr().out.splitlines()
    assert circumstances.startswith(f"torch {torch.__version__}, ")
    assert cells_of(table[0]) == list(HEADINGS)
    assert {len(cells_of(line)) for line in table} == {len(HEADINGS)}
    # Every benchmark has its rows, in the order in which they are listed.
    named = [cells_of(line)[0].split("`")[1] for line in table[2:]]
    assert list(dict.fromkeys(named)) == list(MODULES)
    for line in table[2:]:
        cells = dict(zip(HEADINGS, cells_of(line), strict=True))
        assert float(cells["this ms"].replace(",", "")) > 0
        assert cells["agreement"]


@pytest.mark.slow  # the smallest table above covers what it shares with the other benchmarks
def test_the_scale_table() -> None:
    heading, rule, *stages = printed_by("benchmarks/scale.py", "8", "24")
    assert "24 MB" in heading
    assert {line.count("|") for line in (heading, rule, *stages)} == {heading.count("|")}
    assert any(line.startswith("| evaluate |") for line in stages)


def test_stages_of_two_fits_in_a_table() -> None:
    first = {"features": 4.0, "training": 10.0, "total": 17.5}
    second = {"features": 0.5, "training": 10.0, "clustering": 1.0, "total": 14.0}
    assert fit_time.table([first, second])[2:] == [
        "| Features of the images | 4.0 | 0.5 |",
        "| Training | 10.0 | 10.0 |",
        "| Clustering |  | 1.0 |",
        f"| {fit_time.REST} | 3.5 | 2.5 |",
        "| **Total** | 17.5 | 14.0 |",
    ]


@pytest.mark.slow
def test_the_table_of_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_time.main(["--images", "6", "--device", "cpu"]) == 0
    assert "| Training |" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="takes minutes on a GPU")
def test_figures_of_a_gpu_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert on_a_gpu.main() == 1
    assert "no CUDA device" in capsys.readouterr().err


def test_the_video_table(tmp_path: Path) -> None:
    for number, pixels in enumerate(striped_frames(4)):
        for kind in ("imgs", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"imgs/{number}.png")
        labels = np.full(pixels.shape[:2], 255, np.uint8)
        # Of the 32 rows that are labelled in each, half change.
        labels[:32] = [[0]] * 16 + [[number % 2]] * 16
        Image.fromarray(labels).save(tmp_path / f"labels/{number}.png")
    segmenter = tiny_segmenter(head=False, classes=4)
    heading, _, *rows = video.lines(
        segmenter, tmp_path / "imgs", tmp_path / "labels", tmp_path / "work"
    )
    assert cells_of(heading) == list(video.HEADINGS)
    cells = {row[0]: row[1:] for row in map(cells_of, rows)}
    assert list(cells) == [*(way.name for way in video.WAYS), "the labels themselves"]
    assert cells["the labels themselves"][0] == "50.0"
    for way in video.WAYS:
        assert all(float(cell) >= 0 for cell in cells[way.name])
    assert cells["folder of images"][-1] == "1.00"


def test_a_form_that_differs_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--smallest", "--device", "cpu", "--only", "farthest-points"]
    assert main(arguments) == 0
    assert not capsys.readouterr().err
    monkeypatch.setattr(
        farthest_points, "plain_farthest_points", lambda _points, count, _first: list(range(count))
    )
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "farthest-points" in captured.out.splitlines()[-1]
    assert captured.err.startswith("farthest-points: ")


def test_unknown_benchmarks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "everything"])
    assert "training-step" in capsys.readouterr().err


@pytest.mark.parametrize(("difference", "holds"), [(0.0, True), (0.2, False), (torch.nan, False)])
def test_nan_does_not_agree(difference: float, holds: bool) -> None:
    row = Row("name", "what", "size", Agreement("gradients", difference, 0.1), this=1.0)
    assert row.holds is holds


def test_rows_in_markdown() -> None:
    agreement = Agreement("gradients", 2e-6, 1e-5)
    row = Row("a", "b", "c", agreement, this=50.0, plain=1234.4, floor=40.0, memory=(200.0, 50.0))
    numbers = "1,234 | 50 | 24.69 | 40 | 200 | 50 | 0.25"
    assert row.line() == f"| `a` b | c | {numbers} | gradients: 2e-06, at most 1e-05 |"
    assert "| 0.80 of the floor | 40 |" in Row("a", "b", "c", "none", this=50, floor=40).line()


def test_the_best_run_counts() -> None:
    calls: list[str] = []
    times = best_of(3, lambda: calls.append("first"), lambda: calls.append("second"))
    assert calls == ["first", "second"] * 3
    assert min(times) >= 0
    assert Conditions(choose_compute("cpu"), runs=5).at_most(3) == 3


def test_peak_memory_is_that_of_tensors() -> None:
    def work() -> None:
        halves = [torch.ones(125_000) for _ in range(2)]  # half a megabyte each
        del halves
        torch.ones(125_000)

    assert peak_megabytes(work, torch.device("cpu")) == pytest.approx(1.0, rel=0.05)
