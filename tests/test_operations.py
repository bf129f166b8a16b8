"""The one list of operations, and what is made from it."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import segdistill
from segdistill.app.requests import edit_requests, edits
from segdistill.cli.main import parser_of
from segdistill.operations import COMMANDS, OPERATIONS, PUBLIC, Operation


def test_names_and_commands_are_unique() -> None:
    names = [each.name for each in OPERATIONS]
    commands = [each.command for each in OPERATIONS if each.command]
    assert len(set(names)) == len(names)
    assert len(set(commands)) == len(commands)


def test_every_public_name_can_be_imported_and_is_described() -> None:
    assert set(segdistill.__all__) == {"__version__", *PUBLIC} <= set(dir(segdistill))
    for name in PUBLIC:
        assert getattr(segdistill, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        segdistill.nothing  # noqa: B018


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse(Path(str(segdistill.__file__)).read_text())
    (block,) = (each for each in tree.body if isinstance(each, ast.If))
    imported = {
        name.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == {name: f"segdistill.{module}" for name, module in PUBLIC.items()}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.command])
def test_a_command_or_its_option_does_the_operation(operation: Operation) -> None:
    command, *options = operation.command.split()
    parser = parser_of(COMMANDS[command])
    assert set(options) <= set(parser._option_string_actions)
    if operation.parser:
        assert not options
        assert ("--devices" in parser._option_string_actions) == operation.processes
        assert ("--resume" in parser._option_string_actions) == (operation.resumes == "--resume")


def test_requests_of_the_app_have_the_parameters_of_its_edits() -> None:
    kinds = {each.__struct_config__.tag: each for each in edit_requests().__args__}
    assert kinds.keys() == {each.name for each in OPERATIONS if each.app} == edits().keys()
    for name, edit in edits().items():
        fields = set(kinds[name].__struct_fields__) - {"revision"}
        assert {"run", *fields} == set(inspect.signature(edit).parameters)


def test_the_list_imports_nothing() -> None:
    code = (
        "import sys, segdistill.operations\n"
        "print([name for name in sys.modules if name.startswith('segdistill.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ast.literal_eval(done.stdout) == ["segdistill.operations", "segdistill.version"]
