"""Changing inputs within their syntax: most bytes of a text cannot change without breaking it."""

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

Mutate = Callable[[bytes, int], bytes]
"""Changes bytes to others of at most so many, as libFuzzer does."""

SYNTAX: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], str]]] = {
    "json": (json.loads, json.dumps),
    "yaml": (yaml.safe_load, yaml.safe_dump),
}
"""What reads and writes a text of each syntax."""

SHARE_OF_BYTES = 0.3
"""Share of the texts whose bytes are changed, whatever their syntax."""

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 256, 2**31, 2**53 + 1, 2**63, -(2**64), 10**400),
    *(0.5, -0.0, 1.5, 1e308, 1e-320, math.nan, math.inf, -math.inf),
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "1e999",
        "nan",
        "true",
        "\0",
        "\n",
        "\ud800",
        "é\u202e",
        "../..",
        "/",
    ),
    *("a" * 2000, "#00ff00", "0-255", [], {}, [[]], {"": 0}, [None], [0, 0, 0], {"0": [1]}),
)


def mutate(content: bytes, form: str, most: int, seed: int, mutate_bytes: Mutate) -> bytes:
    """Return another input.

    Args:
        content: an input.
        form: its syntax.
        most: size of the longest that may be returned.
        seed: of the random choices.
        mutate_bytes: libFuzzer's own.
    """
    random = Random(seed)
    if form == "bytes" or random.random() < SHARE_OF_BYTES:
        return mutate_bytes(content, most)
    read, write = SYNTAX[form]
    try:
        changed = write(_changed(read(content), random)).encode("utf-8", "surrogatepass")
    except Exception:
        return mutate_bytes(content, most)
    return changed if len(changed) <= most else mutate_bytes(content, most)


def _changed(value: Any, random: Random) -> Any:
    """Return a plain value with something in it replaced, removed, repeated or renamed."""
    holders = [holder for holder in _holders(value) if holder]
    if not holders or random.random() < 0.02:
        return random.choice(ODD_VALUES)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        holder = random.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            continue
        _change_one(holder, random.choice(keys), random.choice(holders), random)
    return value


def _change_one(holder: Any, key: Any, other: Any, random: Random) -> None:
    match random.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 1:
            holder[random.choice(("", "x", str(key).upper(), "\ud800"))] = holder.pop(key)
        case 2 if isinstance(holder[key], int | float):
            holder[key] = holder[key] * random.choice((-1, 2, 10, 0.5)) + random.choice((-1, 0, 1))
        case 3 if other:
            # A deep copy, since a value that holds itself cannot be written.
            part = list(other.values()) if isinstance(other, dict) else other
            holder[key] = json.loads(json.dumps(random.choice(part)))
        case _:
            holder[key] = json.loads(json.dumps(random.choice(ODD_VALUES)))


def _holders(value: Any) -> list[Any]:
    """Return all lists and dictionaries in a plain value."""
    found, waiting = [], [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            found.append(each)
            waiting += each.values() if isinstance(each, dict) else each
    return found
