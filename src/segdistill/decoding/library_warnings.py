"""Python warnings of libraries about files, which nobody who runs a command can act upon."""

import threading
import warnings


class _WithoutLibraryWarnings:
    """Ignores warnings of Pillow, NumPy and rasterio about files while any thread is in its block.

    Python's warning filters are shared by all threads: the first that enters changes them, and the
    last that leaves puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.filterwarnings("ignore", message=r"Reading `\.npy` or `\.npz` file")
                warnings.filterwarnings("ignore", message=r"Dataset has no geotransform")

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


without_library_warnings = _WithoutLibraryWarnings()
"""To be entered by any thread, also within itself."""
