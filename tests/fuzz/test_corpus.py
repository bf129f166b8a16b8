"""Every reader, on valid files and on all inputs that were findings of the fuzzer once."""

from pathlib import Path

import pytest

from tests.fuzz.registry import TARGETS
from tests.fuzz.target import CORPUS, Target, examine


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_valid_files_and_former_findings(target: Target, tmp_path: Path) -> None:
    seeds = {f"seed {number}": content for number, content in enumerate(target.seeds())}
    assert seeds
    inputs = seeds | {path.name: path.read_bytes() for path in target.corpus}
    found = {name: examine(target, content, tmp_path) for name, content in inputs.items()}
    assert not {name: each.text for name, each in found.items() if each is not None}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_some_seed_is_read_to_its_end(target: Target, tmp_path: Path) -> None:
    # Otherwise the fuzzer would only see how files are refused.
    refused = []
    for content in target.seeds():
        try:
            target.read(content, tmp_path)
        except target.errors as error:
            refused.append(error)
    assert len(refused) < len(target.seeds())


def test_the_corpus_belongs_to_targets() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= TARGETS.keys()
