"""What the page asks for: typed requests, checked when they are read.

A request is an object whose ``do`` names its type. Edits are the operations that the app may do;
their fields are the parameters of the operation's function.
"""

import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache, reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import msgspec
from msgspec import Meta

from segdistill.api.class_changes import ClassChange
from segdistill.errors import UserError
from segdistill.operations import OPERATIONS

Edit = Callable[..., ClassChange]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Request(msgspec.Struct, tag_field="do", forbid_unknown_fields=True, kw_only=True):
    """A request of the page.

    Attributes:
        revision: revision of the class indices that the page shows; see :func:`revision_of`.
    """

    revision: str | None = None


class OpenImage(Request, tag="open"):
    """Show an image of the gallery at large size."""

    index: int


class OpenPage(Request, tag="page"):
    """Show a page of the gallery."""

    page: int


class CloseImage(Request, tag="close"):
    """Show the gallery instead of an image."""


class MovePoint(Request, tag="point"):
    """Show what a point corresponds to; ``x`` and ``y`` are relative to the image's size."""

    index: int
    x: Fraction
    y: Fraction


Navigation = OpenImage | OpenPage | CloseImage
UNDOING = {"undo_classes": "Undone", "redo_classes": "Redone"}


def edits() -> dict[str, Edit]:
    """Return the functions of the edits that the app may do, by name."""
    return {
        each.name: getattr(import_module(f"segdistill.{each.module}"), each.name)
        for each in OPERATIONS
        if each.app
    }


@lru_cache(maxsize=1)
def edit_requests() -> Any:
    """Return the union of the requests for edits."""
    return reduce(or_, (_request_for(*each) for each in edits().items()))


def read_request(data: object, kinds: Any) -> Request:
    """Return a request of the page.

    Args:
        data: what the page sent.
        kinds: a type of request, or a union of several.

    Raises:
        UserError: it is none of these, or a field is missing or has another type.

    Example:
        >>> read_request({"do": "point", "index": "2", "x": 0.5, "y": 1}, MovePoint)
        MovePoint(index=2, x=0.5, y=1.0, revision=None)
    """
    try:
        # The page's fields are text, and so are the keys of its objects.
        request: Request = msgspec.convert(data, kinds, strict=False, str_keys=True)
    except (msgspec.ValidationError, UnicodeError) as error:
        # msgspec raises the second for a key with half of a pair of surrogates.
        raise UserError(f"the page sent an invalid request ({error})") from error
    return request


def apply_edit(run: Path, data: object, revision: str) -> str:
    """Edit the classes of a run folder.

    Args:
        run: the run folder.
        data: what the page sent: one of :func:`edit_requests`.
        revision: revision of the current class indices; see :func:`revision_of`.

    Returns:
        A message for the user.

    Raises:
        UserError: the edit is not possible, or its indices are not the current ones; the folder
            does not change.
    """
    request = read_request(data, edit_requests())
    fields = msgspec.structs.asdict(request)
    # Requests without fields of their own contain no indices.
    if fields.pop("revision") != revision and fields:
        raise UserError("The classes were changed elsewhere; check them and try again.")
    name = str(request.__struct_config__.tag)
    summary = edits()[name](run, **fields).summary
    if name in UNDOING:
        return f"{UNDOING[name]}: {summary}."
    return f"{summary[:1].upper()}{summary[1:]}."


def revision_of(grouping: tuple[object, ...]) -> str:
    """Return a short hash of the assignment of clusters to classes.

    A page with another revision has other class indices, and must not edit the classes.
    """
    return hashlib.blake2b(repr(grouping).encode(), digest_size=6).hexdigest()


def _request_for(name: str, edit: Edit) -> type[Request]:
    """Return the request whose fields are the parameters of an edit, except the run."""
    hints = get_type_hints(edit, include_extras=True)
    _, *parameters = inspect.signature(edit).parameters.values()
    fields = [
        (each.name, hints[each.name])
        if each.default is each.empty
        else (each.name, hints[each.name], each.default)
        for each in parameters
    ]
    made = msgspec.defstruct(name, fields, bases=(Request,), tag=name, kw_only=True)
    return cast("type[Request]", made)
