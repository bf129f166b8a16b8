"""Content of files for seeds."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image


def written(name: str, write: Callable[..., object], *arguments: Any, **options: Any) -> bytes:
    """Return the content of a file that a function writes; its first argument is the path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path, *arguments, **options)
        return path.read_bytes()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
