"""Named sets of settings, one YAML file each, in the package."""

from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path

from segdistill.errors import UserError


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted.

    Example:
        >>> "stego-potsdam3-vits8" in preset_names()
        True
    """
    folder = files("segdistill.config") / "presets"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(Path(name).stem for name in names if name.endswith(".yaml")))


def preset_path(name: str) -> Path:
    """Return the YAML file of a preset.

    Raises:
        UserError: there is no such preset; the message suggests the nearest.
    """
    if name not in preset_names():
        near = get_close_matches(name, preset_names(), n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(
            f"--preset {name}: no such preset; the presets are {', '.join(preset_names())}{hint}"
        )
    # The package is always installed as plain files, so the path outlives the context.
    with as_file(files("segdistill.config") / "presets" / f"{name}.yaml") as path:
        return path
