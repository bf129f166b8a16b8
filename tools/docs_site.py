"""What the documentation site has beyond the pages in ``docs``; MkDocs calls these hooks.

The pages stay plain Markdown that reads well without the site. At build, this adds the reference of
the commands (from their parsers) and of the Python functions (from the list of operations), the
files of source code that pages link to, and formulas as MathML, which browsers draw without a
script.
"""

import logging
import re
from argparse import SUPPRESS
from html import escape, unescape
from pathlib import Path
from typing import Any

import yaml
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from segdistill.cli.main import parser_of
from segdistill.config.settings import FitSettings
from segdistill.operations import CLASSES, COMMANDS, OPERATIONS, Operation
from tools.import_matrix import matrix_svg

ROOT = Path(__file__).parents[1]

ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository's root that are pages of the site, and their names there."""

LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "sh"}

LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
CODE = re.compile(r"<code>(?P<code>[^<\n]+)</code>")
UNBROKEN = 30
"""Code of at most so many characters is not broken, nor are the words of longer code."""

COMMAND = re.compile(r'<code class="whole">segdistill (?P<name>[a-z-]+)</code>(?!</a>)')
DOCUMENT = re.compile(r"(?:<code[^>]*>)?docs/(?P<page>[a-z-]+\.md)(?:</code>)?(?!</a>)")
API_HERE = 'the site\'s page "Python API"'
SETTINGS_HERE = "<!-- generated: all settings -->"
IMPORTS_HERE = "<!-- generated: matrix of imports -->"


class _NotAboutAll(logging.Filter):
    """Drops one warning: ``segdistill.__all__`` takes its names from the list of operations."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Unsupported item in segdistill.__all__" not in record.getMessage()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the commands under 'Commands'."""
    logging.getLogger("mkdocs.plugins.griffe").addFilter(_NotAboutAll())
    commands = ["commands/index.md", *(f"commands/{name}.md" for name in COMMANDS)]
    _replace(config.nav, "commands/index.md", commands)
    return config


def _replace(nav: Any, old: str, new: list[str]) -> None:
    for entry in nav:
        for title, target in entry.items():
            if isinstance(target, list):
                _replace(target, old, new)
            elif target == old:
                entry[title] = new


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made at build."""
    pages = {f"commands/{name}.md": command_page(entry) for name, entry in COMMANDS.items()}
    pages["commands/index.md"] = commands_page()
    pages["api.md"] = api_page()
    for name, page in ROOT_PAGES.items():
        pages[page] = (ROOT / name).read_text(encoding="utf-8")
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()} | {
        page: pages[page] for page in ROOT_PAGES.values()
    }
    for uri, text in texts.items():
        for link in LINK.finditer(text):
            source = linked_source(uri, link["path"])
            if source is not None:
                pages[source_page(source)] = source_text(source)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links to source code and to files of the root to their pages; fill in settings."""
    uri = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = site_target(uri, link["path"])
        return link[0] if target is None else _relative(target, uri) + (link["anchor"] or "")

    if uri.startswith("source/"):
        return markdown
    if SETTINGS_HERE in markdown:
        settings = yaml.safe_dump(FitSettings().as_plain(), sort_keys=False)
        markdown = markdown.replace(SETTINGS_HERE, f"```yaml\n{settings}```")
    if IMPORTS_HERE in markdown:
        markdown = markdown.replace(IMPORTS_HERE, f"<div>{matrix_svg()}</div>")
    markdown = markdown.replace(API_HERE, "the page [Python API](api.md)")
    return LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Replace LaTeX by MathML, keep short code together, and link commands and pages."""
    html = CODE.sub(_unbroken, FORMULA.sub(_mathml, html))
    if page.file.src_uri.startswith("source/"):
        return html
    linked: set[str] = set()

    def command(code: re.Match[str]) -> str:
        target = files.get_file_from_path(f"commands/{code['name']}.md")
        if target is None or target == page.file or code["name"] in linked:
            return code[0]
        linked.add(code["name"])
        return f'<a href="{target.url_relative_to(page.file)}">{code[0]}</a>'

    def document(path: re.Match[str]) -> str:
        target = files.get_file_from_path(path["page"])
        if target is None or target.page is None:
            return path[0]
        return f'<a href="{target.url_relative_to(page.file)}">{target.page.title}</a>'

    return DOCUMENT.sub(document, COMMAND.sub(command, html))


def _unbroken(code: re.Match[str]) -> str:
    """Mark code, or the words of long code, as not to be broken; undo the escapes of tables."""
    text = code["code"].replace("\\|", "|")
    if len(unescape(text)) <= UNBROKEN:
        return f'<code class="whole">{text}</code>'
    words = (
        f'<span class="whole">{word}</span>' if len(unescape(word)) <= UNBROKEN else word
        for word in text.split(" ")
    )
    return f"<code>{' '.join(words)}</code>"


def _mathml(formula: re.Match[str]) -> str:
    block = formula["tag"] == "div"
    mathml = convert(unescape(formula["latex"]), display="block" if block else "inline")
    return f'<div class="math-block">{mathml}</div>' if block else mathml


def _repository_path(uri: str, path: str) -> Path:
    """Return what a link of a page leads to, relative to the repository."""
    at_root = {page: name for name, page in ROOT_PAGES.items()}
    folder = ROOT if uri in at_root else (ROOT / "docs" / uri).parent
    target = (folder / path).resolve()
    return target.relative_to(ROOT) if target.is_relative_to(ROOT) else Path("..")


def site_target(uri: str, path: str) -> str | None:
    """Return the page of the site that a link leads to, where it differs from the link.

    Args:
        uri: the page with the link, relative to ``docs``.
        path: the link.
    """
    target = _repository_path(uri, path)
    if target.as_posix() in ROOT_PAGES:
        return ROOT_PAGES[target.as_posix()]
    if uri in ROOT_PAGES.values() and target.parts[0] == "docs":
        return target.relative_to("docs").as_posix()
    source = linked_source(uri, path)
    return None if source is None else source_page(source)


def linked_source(uri: str, path: str) -> Path | None:
    """Return the source file that a link leads to, relative to the repository, or ``None``."""
    target = _repository_path(uri, path)
    is_source = (ROOT / target).is_file() and target.parts[0] != "docs"
    return target if is_source and target.as_posix() not in ROOT_PAGES else None


def source_page(source: Path) -> str:
    """Return the page that shows a source file."""
    return f"source/{source.as_posix()}.md"


def source_text(source: Path) -> str:
    """Return the Markdown of a page that shows a source file."""
    text = (ROOT / source).read_text(encoding="utf-8")
    language = LANGUAGES.get(source.suffix, "text")
    head = "---\nsearch: {exclude: true}\nhide: [navigation, toc]\n---\n"
    return f"{head}# {source.name}\n`{source.as_posix()}`\n\n~~~~{language}\n{text}~~~~\n"


def _relative(target: str, uri: str) -> str:
    return "../" * uri.count("/") + target


def commands_page() -> str:
    """Return the page that lists the commands."""
    rows = [
        f"| [`segdistill {name}`]({name}.md) | {escape(entry.summary)} |"
        for name, entry in COMMANDS.items()
    ]
    head = (
        "# Commands\n`segdistill COMMAND --help-all` prints these pages in a terminal, and"
        " `--help` the options of daily use. Invalid input ends with exit status 2 and a line that"
        " suggests a fix.\n\n| command | what it does |"
    )
    return "\n".join([head, "|---|---|", *rows, ""])


def command_page(entry: Operation) -> str:
    """Return the reference of a command, from its parser."""
    parser = parser_of(entry)
    description, _, example = (parser.description or "").partition("\n\n  ")
    lines = [f"# segdistill {entry.command}", escape(description, quote=False), ""]
    lines += ["```sh", example, "```", "", f"Usage: `{parser.usage}`", ""]
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no public list of its groups
        actions = [each for each in group._group_actions if each.help != SUPPRESS]  # noqa: SLF001
        if actions:
            lines += [f"## {group.title}"]
        for action in actions:
            names = ", ".join(action.option_strings) or str(action.metavar)
            value = "" if not action.option_strings or action.nargs == 0 else _value(action)
            lines += [f"`{names}{value}`", f":   {escape(_help(action), quote=False)}", ""]
    return "\n".join(lines)


def _help(action: Any) -> str:
    """Return the help of an option, in which argparse writes a percent sign twice."""
    return str(action.help).replace("%%", "%")


def _value(action: Any) -> str:
    value = action.metavar or "{" + ",".join(map(str, action.choices or ())) + "}"
    return f" {value}" + (" ..." if action.nargs == "+" else "")


def api_page() -> str:
    """Return the page with all public functions and classes, from their docstrings."""
    lines = [
        "# Python API",
        (
            "Everything here is imported from `segdistill` itself: `segdistill.fit`, not"
            " `segdistill.api.fitting.fit`. Nothing heavy is imported before it is used."
        ),
        "",
        "## Functions",
    ]
    lines += [_reference(each.module, each.name) for each in OPERATIONS if each.module]
    lines.append("## Classes")
    lines += [_reference(module, name) for name, module in CLASSES.items()]
    return "\n".join(lines)


def _reference(module: str, name: str) -> str:
    """Return what mkdocstrings replaces by the reference of a public name."""
    return f"::: segdistill.{module}.{name}\n    options:\n      heading: segdistill.{name}\n"
