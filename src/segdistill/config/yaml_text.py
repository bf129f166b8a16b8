"""Reading YAML that others wrote: bounded, and with one kind of error."""

from typing import Any

import yaml

from segdistill.config.validation import as_literal

MOST_VALUES = 10_000
"""Number of values that mappings may be merged into: more than there are settings."""


class UniqueKeyLoader(yaml.SafeLoader):
    """Loads mappings without repeated keys, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping.

        Raises:
            yaml.MarkedYAMLError: it has a key twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {as_literal(key.value)} appears twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class PlainLoader(UniqueKeyLoader):
    """Loads plain values, with a limit on merged mappings (``<<``), which can multiply."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Add the values of merged mappings to a mapping."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                problem="more values are merged than there are settings",
                problem_mark=node.start_mark,
            )


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = PlainLoader) -> Any:
    """Return the content of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML. For a wrong date, or a number that is not one, PyYAML itself
            raises errors of many other types.

    Example:
        >>> parse_yaml("classes: 8")
        {'classes': 8}
        >>> parse_yaml("seed: !!int ''")
        Traceback (most recent call last):
        ...
        yaml.error.YAMLError: a value is not of its type (string index out of range)
    """
    try:
        return yaml.load(text, loader)  # noqa: S506 - a safe loader
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise yaml.YAMLError(f"a value is not of its type ({error})") from error
    except RecursionError as error:
        raise yaml.YAMLError("too deeply nested") from error
