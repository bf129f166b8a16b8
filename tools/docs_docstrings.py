"""What griffe, which reads the docstrings for the site's reference, is told about their style.

The docstrings name other objects by roles (``:func:`fit```), have sections called ``Example:``, and
their types carry ranges. The reference shows links, code and plain types instead.
"""

import re
from typing import Any

from griffe import (
    Class,
    Expr,
    ExprBinOp,
    ExprName,
    ExprSubscript,
    ExprTuple,
    Extension,
    Module,
    Object,
)

from segdistill.operations import CLASSES, PUBLIC

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(?P<short>~?)(?P<target>[\w.]+)`")
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class PlainDocstrings(Extension):
    """Replaces what only other documentation tools understand."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:  # noqa: ARG002 - griffe's signature
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = plain_docstring(obj.docstring.value)

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:  # noqa: ARG002 - griffe's signature
        """Leave ranges out of the types of public classes, whose descriptions give them."""
        for name, module in CLASSES.items():
            shown = pkg[f"{module}.{name}"]
            if isinstance(shown, Class):
                for attribute in shown.attributes.values():
                    attribute.annotation = _plain_type(attribute.annotation, pkg)


def plain_docstring(text: str) -> str:
    """Return a docstring with links and code in place of roles.

    Example:
        >>> plain_docstring("See :class:`~a.b.C`.")
        'See `C`.'
        >>> plain_docstring("See :func:`fit`.")
        'See [`fit`][segdistill.api.fitting.fit].'
    """
    return ROLE.sub(_reference, EXAMPLE.sub(r"\1Examples:", text))


def _reference(role: re.Match[str]) -> str:
    name = role["target"].rpartition(".")[2]
    shown = name if role["short"] else role["target"]
    if name in PUBLIC and role["target"] in (name, f"segdistill.{name}"):
        return f"[`{shown}`][segdistill.{PUBLIC[name]}.{name}]"
    return f"`{shown}`"


def _plain_type(annotation: Any, package: Module) -> Any:
    """Return a type without ``Annotated``, also where a name stands for it."""
    if isinstance(annotation, ExprBinOp):
        left, right = (_plain_type(side, package) for side in (annotation.left, annotation.right))
        return ExprBinOp(left, annotation.operator, right)
    if isinstance(annotation, ExprName):
        path = annotation.canonical_path
        if path.startswith("segdistill."):
            value = getattr(package[path.removeprefix("segdistill.")], "value", None)
            return _plain_type(value, package) if _is_annotated(value) else annotation
    if _is_annotated(annotation):
        return annotation.slice.elements[0]
    return annotation


def _is_annotated(expression: Any) -> bool:
    return (
        isinstance(expression, ExprSubscript)
        and isinstance(expression.left, Expr)
        and str(expression.left) == "Annotated"
        and isinstance(expression.slice, ExprTuple)
    )
