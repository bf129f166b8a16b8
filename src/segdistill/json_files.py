"""JSON read as typed values, with a checksum against damage.

A JSON object that segdistill writes for itself begins with the SHA-256 of its other fields. It is
in the file that it protects, so both are written at once. It covers values, not their layout: a
file that was only indented anew is unchanged. Files without one, of earlier versions or from whom
removed its line to accept an edit, are not compared; their types and ranges are checked all the
same.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from segdistill.errors import UserError
from segdistill.files import check_regular

Content = TypeVar("Content")

MAX_JSON_BYTES = 2**28
"""Size up to which JSON is read; the largest description of a model is far smaller."""

CHECKSUM = "sha256"
"""The field of the checksum."""

Text = Annotated[str, Meta(max_length=10_000, pattern="^[^\ud800-\udfff]*$")]
"""Text without lone surrogates, which cannot be printed."""

Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
"""A number, neither NaN nor infinite."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]


def as_json(content: object) -> str:
    """Return a typed value as indented JSON.

    Args:
        content: dataclasses, msgspec structs, plain values and numpy's numbers.

    Example:
        >>> print(as_json({"images": (1, 2)}), end="")
        {
          "images": [
            1,
            2
          ]
        }
    """
    # Not msgspec's encoder: it rejects names of files that are not Unicode.
    return json.dumps(msgspec.to_builtins(content, enc_hook=plain_number), indent=2) + "\n"


def as_checked_json(content: object) -> str:
    """Return a typed value with fields as indented JSON that begins with a checksum.

    Example:
        >>> from_json(as_checked_json({"a": 1}), dict[str, int], name="a", what="numbers", fix="")
        {'a': 1}
    """
    plain = msgspec.to_builtins(content, enc_hook=plain_number)
    return as_json({CHECKSUM: checksum_of(plain), **plain})


def checksum_of(plain: object) -> str:
    """Return the SHA-256 of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(plain, separators=(",", ":")).encode()).hexdigest()


def plain_number(value: Any) -> Any:
    """Return a number of numpy or torch as a plain one, for msgspec.

    Raises:
        TypeError: the value is not a number.
    """
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} in JSON")


def read_json(
    path: Path,
    kind: type[Content],
    *,
    what: str,
    fix: str,
    upgrade: Callable[[Any], Any] | None = None,
) -> Content:
    """Read a JSON file as a typed value; see :func:`from_json` for the arguments.

    Raises:
        UserError: the file cannot be read, is damaged, or is not what it should be.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {fix}") from error
    return from_json(text, kind, name=str(path), what=what, fix=fix, upgrade=upgrade)


def from_json(
    text: bytes | str,
    kind: type[Content],
    *,
    name: str,
    what: str,
    fix: str,
    upgrade: Callable[[Any], Any] | None = None,
) -> Content:
    """Return the typed value of a JSON text.

    Fields that the type does not have are ignored, since newer versions may write them.

    Args:
        text: the text.
        kind: type to return: a dataclass, a msgspec struct or a container of these.
        name: path or URL of the text, for errors.
        what: what the text describes, for errors.
        fix: what to do about an error.
        upgrade: turns the plain content of a file of an earlier version into that of this one.

    Raises:
        UserError: the text is too long, not JSON, not of the type (the message names the field), or
            has another checksum.

    Example:
        >>> from_json("[1, 2, null]", list[int], name="a.json", what="sizes", fix="run again")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: a.json: does not describe sizes (Expected `int`, got `null` - \
at `$[2]`); run again
    """
    if len(text) > MAX_JSON_BYTES:
        raise UserError(f"{name}: larger than {MAX_JSON_BYTES >> 20} MiB; {fix}")
    try:
        # Not msgspec's decoder: it rejects NaN, and names of files that are not Unicode.
        plain = json.loads(text)
        _check_checksum(plain, name, fix)
        if upgrade is not None:
            plain = upgrade(plain)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: cannot be read ({error}); {fix}") from error
    return as_kind(plain, kind, name=name, what=what, fix=fix)


def as_kind(plain: Any, kind: type[Content], *, name: str, what: str, fix: str) -> Content:
    """Return the typed value of plain JSON content; see :func:`from_json` for the arguments.

    Raises:
        UserError: the content is not of the type; the message names the field.
    """
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{name}: does not describe {what} ({error}); {fix}") from error
    except (ValueError, RecursionError) as error:  # not Unicode, or too deep
        raise UserError(f"{name}: cannot be read ({error}); {fix}") from error


def _check_checksum(plain: Any, name: str, fix: str) -> None:
    """Remove the checksum from the content of a file, if it has one, and compare it.

    Raises:
        UserError: it differs.
    """
    if not isinstance(plain, dict) or CHECKSUM not in plain:
        return
    if plain.pop(CHECKSUM) != checksum_of(plain):
        raise UserError(
            f"{name}: damaged or edited (its checksum differs); {fix}. If you edited it,"
            f' remove its line "{CHECKSUM}" to accept the change'
        )
