"""``segdistill name --suggest`` as a user runs it, with a tiny random CLIP."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.helpers import edited
from tests.naming.networks import write_network


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("clip") / "clip", "clip")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("road\ntree\nsky # blue\nwater\n")
    return path


def names(run: Path) -> list[str]:
    return [each["name"] for each in json.loads((run / "segmenter.json").read_text())["classes"]]


def test_names_are_suggested_applied_and_undone(
    fitted: Path, words: Path, clip: Path, segdistill: Run
) -> None:
    before = (fitted / "segmenter.json").read_bytes()
    asked = ("name", fitted, "--suggest", words, "--model", clip, "--images", "photos")
    status, out, error = segdistill(*asked, "--quiet")
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["class", "current", "suggested", "likely", "words"]
    assert lines[1].count("%") == 3
    assert lines[-1] == "Nothing was changed; --apply applies the suggested names."
    assert (fitted / "segmenter.json").read_bytes() == before
    assert segdistill("name", fitted, "1=mine", "--quiet")[0] == 0
    status, out, error = segdistill(*asked, "--unique", "--apply", "--top", 1)
    assert status == 0, error
    given = names(fitted)
    assert given[1] == "mine"
    assert len({given[0], given[2]} & {"road", "tree", "sky", "water"}) == 2
    assert "Named:  2 of 3 classes" in out
    assert f"Undo:   segdistill classes {fitted} --undo" in out
    assert segdistill(*asked, "--unique", "--apply", "--overwrite", "--quiet")[0] == 0
    assert "mine" not in names(fitted)
    assert segdistill("classes", fitted, "--undo", "--quiet")[0] == 0
    assert names(fitted) == given


def test_a_word_for_several_classes_is_numbered_and_merging_is_offered(
    fitted: Path, words: Path, clip: Path, segdistill: Run
) -> None:
    words.write_text("road")
    status, out, error = segdistill("name", fitted, "--suggest", words, "--model", clip, "--apply")
    assert status == 0, error
    assert sorted(names(fitted)) == ["road", "road 2", "road 3"]
    assert f"segdistill classes {fitted} --merge 0 1 2" in out


def test_mistakes_are_reported(fitted: Path, words: Path, clip: Path, segdistill: Run) -> None:
    empty = words.with_name("empty.txt")
    empty.write_text("# nothing\n")
    for arguments, said in [
        ((), "CLASS=NAME is missing"),
        (("0=road,1=sky",), "separate names by spaces"),
        (("0=road,class 1=sky",), "separate names by spaces"),
        (("--apply", "0=road"), "--apply: only with --suggest"),
        (("--suggest", "nowhere.txt"), "nowhere.txt: no such file"),
        (("--suggest", empty, "--model", clip), "contains no words"),
        (("0=road", "--suggest", words), "give only one of them"),
        (("--suggest", words, "--overwrite"), "only with --apply"),
        (("--suggest", words, "--model", "clip"), "not a local folder or a hub id"),
        (("--suggest", words, "--model", clip, "--top", 0), "--top 0: must be at least 1"),
        (("--suggest", words, "--model", clip, "--images", "none"), "none: no such file"),
    ]:
        status, _, error = segdistill("name", fitted, *arguments)
        assert status == 2, said
        assert said in error
        assert "Traceback" not in error
    facts = edited((fitted / "facts.json").read_text())
    facts.pop("files", None)
    (fitted / "facts.json").write_text(json.dumps(facts))
    status, _, error = segdistill("name", fitted, "--suggest", words, "--model", clip)
    assert status == 2
    assert "does not record the paths of its images; add --images" in error
