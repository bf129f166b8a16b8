"""HEIC and HEIF photographs through pillow-heif (an extra)."""

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

from segdistill.errors import UnreadableImageError, missing_extra

HEIF_SUFFIXES = frozenset([".heic", ".heif"])

# What follows the size and 'ftyp' of the first box; AVIF is read by Pillow itself.
BRANDS = frozenset([b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"])


def has_heif() -> bool:
    """Return whether HEIF can be read."""
    return find_spec("pillow_heif") is not None


def is_heif(content: bytes) -> bool:
    """Return whether a file's content begins as HEIF does."""
    return content[4:8] == b"ftyp" and content[8:12] in BRANDS


def register_heif(name: str) -> None:
    """Let Pillow open HEIF files.

    Args:
        name: path of such a file, for the message.

    Raises:
        UnreadableImageError: pillow-heif is not installed.
    """
    if not has_heif():
        raise UnreadableImageError(f"{name}: {missing_extra('pillow-heif', 'heif')}")
    _register()


@lru_cache(maxsize=1)
def _register() -> None:
    import_module("pillow_heif").register_heif_opener()
