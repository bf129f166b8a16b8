"""What ``pyproject.toml`` declares: what the code imports, and versions that are tested."""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

NOT_INSTALLED_WITH_US = {
    "sklearn": "imported by a method that only scikit-learn itself calls",
    "pydensecrf": "compared with in one benchmark, which says how to install it",
}
"""Modules that may be imported without being declared, and why."""


def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return content


def normalised(requirement: str) -> str:
    """Return the name of a requirement as package indexes compare it."""
    name = re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*, dev: bool) -> set[str]:
    """Return the distributions of the package and its extras, ``dev`` only if asked for."""
    content = project()
    extras = content["optional-dependencies"]
    groups = [content["dependencies"], *(extras[name] for name in extras if dev or name != "dev")]
    return {normalised(requirement) for group in groups for requirement in group}


def imported(file: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports anywhere, also by a literal name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names: Iterable[str] = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [
                each.value
                for each in node.args
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
        else:
            names = []
        yield from (name.split(".")[0] for name in names)


@functools.cache
def distributions() -> dict[str, set[str]]:
    """Return the installed distributions of each top-level module."""
    found = packages_distributions()
    return {module: {normalised(each) for each in names} for module, names in found.items()}


def undeclared(folder: str, own: set[str], *, dev: bool) -> set[str]:
    """Return "module in file" for all imports that nothing declares."""
    allowed = declared(dev=dev)
    known = sys.stdlib_module_names | own | NOT_INSTALLED_WITH_US.keys()
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    return {
        f"{module} in {file.relative_to(ROOT)}"
        for file in files
        for module in imported(file)
        if module not in known and not distributions().get(module, {normalised(module)}) & allowed
    }


def test_the_library_imports_only_what_it_declares() -> None:
    assert undeclared("src", {"segdistill"}, dev=False) == set()


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples", "tools"])
def test_tests_and_examples_import_only_what_the_extra_dev_declares(folder: str) -> None:
    assert undeclared(folder, {"segdistill", "tests", "benchmarks", "tools"}, dev=True) == set()


def pinned(name: str) -> dict[str, str]:
    """Return the version of each distribution that a file of constraints pins."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line)
    return {normalised(distribution): version.strip() for distribution, version in pins}


def lowest_allowed() -> dict[str, str]:
    """Return the lowest version of each distribution that the package or an extra asks for."""
    content = project()
    # gcsfs needs an account to be tested with, so the extra dev leaves it out.
    extras = [each for name, each in content["optional-dependencies"].items() if name != "gs"]
    requirements = [each for group in [content["dependencies"], *extras] for each in group]
    bounds = [each.split(">=") for each in requirements if normalised(each) != "segdistill"]
    return {normalised(distribution): version for distribution, version in bounds}


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without the zeros at its end.

    >>> release("2.0.0") == release("2.0") == (2,)
    True
    >>> release("2.13.0+cpu") > release("2.9.1")
    True
    """
    public = re.split(r"[^\d.]", version, maxsplit=1)[0].strip(".")
    numbers = [int(part) for part in public.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def test_the_oldest_versions_that_are_tested_are_the_lowest_allowed() -> None:
    oldest = pinned("constraints/oldest.txt")
    for distribution, version in lowest_allowed().items():
        assert release(oldest[distribution]) == release(version), distribution


@pytest.mark.parametrize("name", ["constraints.txt", "constraints/newest.txt"])
def test_the_other_versions_that_are_tested_are_allowed(name: str) -> None:
    tested = pinned(name)
    for distribution, version in lowest_allowed().items():
        assert release(tested[distribution]) >= release(version), distribution


def test_the_newest_versions_are_not_older_than_the_usual_ones() -> None:
    newest = pinned("constraints/newest.txt")
    for distribution, version in pinned("constraints.txt").items():
        assert release(newest[distribution]) >= release(version), distribution
