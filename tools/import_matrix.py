"""Draw which package imports which, as an SVG: a matrix with a dot for each pair.

Packages are listed from the top layer to the bottom one, in the order of the import rules in
``pyproject.toml``. A package imports only from layers below it, so every dot lies above the
diagonal.
"""

import ast
import tomllib
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "segdistill"
CELL = 17
LABELS = 108


def layers() -> list[str]:
    """Return the packages and modules of the import rules, from top to bottom."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = content["tool"]["importlinter"]["contracts"]
    return [
        name.strip().removeprefix(f"{PACKAGE}.")
        for layer in contract["layers"]
        for name in layer.split("|")
    ]


def imports(names: list[str]) -> Counter[tuple[str, str]]:
    """Return how many modules of one package import something of another, for all pairs."""
    pairs: Counter[tuple[str, str]] = Counter()
    source = ROOT / "src" / PACKAGE
    for path in sorted(source.rglob("*.py")):
        importing = path.relative_to(source).parts[0].removesuffix(".py")
        imported = {
            module.split(".")[1]
            for module in _imported_modules(path)
            if module.startswith(f"{PACKAGE}.")
        }
        if importing in names:
            pairs.update((importing, each) for each in imported & set(names) - {importing})
    return pairs


def _imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def matrix_svg() -> str:
    """Return the matrix as an SVG element, in the colours of the page around it."""
    names = layers()
    side = LABELS + CELL * len(names)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" role="img"'
            f' style="max-width:{side}px;width:100%;height:auto" font-size="11"'
            ' font-family="sans-serif" fill="currentColor">'
            "<title>Which package imports which: every dot lies above the diagonal</title>"
        )
    ]
    for index, name in enumerate(names):
        middle = LABELS + CELL * (index + 0.5)
        label, start, end = escape(name), LABELS + CELL * index, LABELS - 6
        parts += [
            f'<text x="{end}" y="{middle + 4}" text-anchor="end">{label}</text>',
            f'<text transform="translate({middle + 4},{end}) rotate(-90)">{label}</text>',
            (
                f'<path d="M{LABELS},{middle}H{side}M{middle},{LABELS}V{side}"'
                ' stroke="currentColor" stroke-opacity=".1"/>'
            ),
            f'<rect x="{start}" y="{start}" width="{CELL}" height="{CELL}" fill-opacity=".15"/>',
        ]
    for (importing, imported), count in imports(names).items():
        row, column = names.index(importing), names.index(imported)
        radius = min(2 + count**0.5, CELL / 2 - 1)
        parts.append(
            f'<circle cx="{LABELS + CELL * (column + 0.5)}" cy="{LABELS + CELL * (row + 0.5)}"'
            f' r="{radius:.1f}" fill="#0d9488"><title>{count} modules of {escape(importing)} import'
            f" {escape(imported)}</title></circle>"
        )
    return "".join([*parts, "</svg>"])
