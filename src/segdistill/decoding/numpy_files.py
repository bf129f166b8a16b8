"""Arrays in NumPy's own files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORT_HEADERS = (1, 0)
"""Version of files whose headers have at most 64 KiB; later ones may claim 4 GiB."""


def mapped_array(path: Path) -> NDArray[Any]:
    """Return the array of an .npy file, memory-mapped, since a header may claim any size.

    Raises:
        ValueError: the file is damaged, or holds Python objects.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        length = 0 if version == SHORT_HEADERS else int.from_bytes(file.read(4), "little")
    if length > path.stat().st_size:
        raise ValueError("the header is longer than the file")
    return np.lib.format.open_memmap(path, mode="r")
