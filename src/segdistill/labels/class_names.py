"""Names of label classes: their checks, and ``classes.txt``, which lists them."""

import unicodedata
from pathlib import Path

from segdistill.errors import UserError

BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that a name does not have: control characters and line separators."""


def is_one_line(name: str) -> bool:
    r"""Return whether a name has neither line breaks nor control characters.

    Example:
        >>> is_one_line("street café"), is_one_line("a\nb"), is_one_line("\x1b[31mred")
        (True, False, False)
    """
    return not any(unicodedata.category(each) in BREAKING for each in name)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the names in a text file with one class per line; empty lines do not count.

    Raises:
        UserError: the file is not UTF-8 text, or a name holds control characters.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8, one class per line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    for name in names:
        if not is_one_line(name):
            raise UserError(
                f"{path}: the name {name[:60]} contains control characters; remove them"
            )
    return names
