"""The depth networks that have short names."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from segdistill.errors import UserError


@dataclass(frozen=True)
class DepthModel:
    """A depth network on the Hugging Face hub; the licence of the weights is their publisher's."""

    hub_id: str
    licence: str


DEFAULT_DEPTH_MODEL = "depth-anything-v2-small"

DEPTH_MODELS = {
    DEFAULT_DEPTH_MODEL: DepthModel("depth-anything/Depth-Anything-V2-Small-hf", "apache-2.0"),
    "depth-anything-v2-base": DepthModel(
        "depth-anything/Depth-Anything-V2-Base-hf", "cc-by-nc-4.0"
    ),
    "depth-anything-v2-large": DepthModel(
        "depth-anything/Depth-Anything-V2-Large-hf", "cc-by-nc-4.0"
    ),
    "zoedepth-nyu-kitti": DepthModel("Intel/zoedepth-nyu-kitti", "mit"),
    "dpt-large": DepthModel("Intel/dpt-large", "apache-2.0"),
    "dpt-hybrid-midas": DepthModel("Intel/dpt-hybrid-midas", "apache-2.0"),
}
"""Depth networks by short name."""


def depth_model_source(model: str) -> str:
    """Resolve a model name to a hub id or the full path of a local folder.

    Args:
        model: a short name, a hub id, or a folder in the hub's layout.

    Raises:
        UserError: the name is none of these; the message suggests the closest short name.

    Example:
        >>> depth_model_source("dpt-large")
        'Intel/dpt-large'
    """
    if model in DEPTH_MODELS:
        return DEPTH_MODELS[model].hub_id
    if model == "embedded":
        raise UserError(
            "--model embedded: no depth network is installed with segdistill; pass a model"
            f" ({', '.join(DEPTH_MODELS)}), or put your own depth maps in a depth/ folder"
        )
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if path.is_file():
        raise UserError(
            f"--model {model}: is a file; pass the folder with config.json and model.safetensors"
        )
    if model.startswith((".", "/", "~")):
        raise UserError(f"--model {model}: no such folder")
    if model.count("/") == 1:
        return model
    near = get_close_matches(model, DEPTH_MODELS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"--model {model}: not a short name ({', '.join(DEPTH_MODELS)}), a hub id or a local"
        f" folder{hint}"
    )


def licence_of(source: str) -> str:
    """Return the licence of the weights of a hub id, or ``unknown``."""
    return next(
        (each.licence for each in DEPTH_MODELS.values() if each.hub_id == source), "unknown"
    )
