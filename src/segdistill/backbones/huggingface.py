"""Loading of networks with the transformers library, from the Hugging Face hub or a local folder.

Only safetensors files are read: nothing is unpickled, and no remote code is run. transformers takes
seconds to import, so imports are local.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from segdistill.errors import UserError
from segdistill.weights.mistaken_files import refuse_mistaken

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Result = TypeVar("Result")

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
CONFIG_FILE = "config.json"
TIMM = "timm"
"""Stands for the model_type of networks of timm."""

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
HUB_FILES = (CONFIG_FILE, *PREPROCESSOR_FILES, *WEIGHT_FILES, "model-*.safetensors")


@dataclass(frozen=True)
class NetworkKind:
    """Networks that a command-line option accepts.

    Attributes:
        option: name of the option, for messages.
        classes: names of transformers classes by model_type in config.json.
        advice: advice for failed downloads, with the placeholder ``{hub_id}``.
        hub_ids: hub ids by short name.
        unused: parts of the names of weights that may be missing because inference ignores them.
        files: additional files to download.
    """

    option: str
    classes: Mapping[str, str]
    advice: str
    hub_ids: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def find(self, source: str) -> "NetworkFiles":
        """Find the files of a network, and download them if necessary.

        Args:
            source: local folder in the hub's layout, or hub id.

        Raises:
            UserError: a download fails, or config.json is missing, damaged or unsupported.
        """
        folder = Path(source).expanduser()
        if folder.is_dir():
            folder = folder.resolve()
            source = str(folder)
        else:
            folder = self._download(source)
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(
                f"{self.option} {source}: config.json not found; the folder needs config.json and"
                " model.safetensors"
            )
        config = read_json(folder / CONFIG_FILE)
        model_type = architecture_of(config)
        if str(model_type) not in self.classes:
            raise UserError(
                f"{self.option} {source}: unsupported model_type {model_type!r} in config.json;"
                f" supported types are {', '.join(self.classes)}"
            )
        return NetworkFiles(self, source, folder, config)

    def _download(self, hub_id: str) -> Path:
        """Download a network, or take it from the cache if the hub is unreachable."""
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

        try:
            # A single attempt; file-by-file downloads would retry for minutes.
            return Path(snapshot_download(hub_id, allow_patterns=[*HUB_FILES, *self.files]))
        except Exception as error:
            # The hub raises errors of its HTTP library, which differ between versions.
            raise self.download_error(hub_id, error) from error

    def download_error(self, hub_id: str, error: Exception) -> UserError:
        """Return the error for a failed download."""
        short = next((short for short, each in self.hub_ids.items() if each == hub_id), None)
        return UserError(
            f"{self.option} {f'{short} ({hub_id})' if short else hub_id}: weights cannot be"
            f" downloaded from the Hugging Face hub: {hub_reason(hub_id, error)}.",
            details=self.advice.format(hub_id=hub_id),
        )


@dataclass(frozen=True)
class NetworkFiles:
    """The files of a network.

    Attributes:
        kind: the kind of network.
        source: hub id, or full path of the folder.
        folder: folder of the files.
        config: content of config.json.
    """

    kind: NetworkKind
    source: str
    folder: Path
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        """The architecture, a key of :attr:`NetworkKind.classes`."""
        return str(architecture_of(self.config))

    def preprocessing(self, parse: Callable[[dict[str, Any]], Result]) -> Result:
        """Parse the preprocessor config.

        Args:
            parse: function of the content, which is empty if the file is missing.

        Raises:
            UserError: the preprocessor config is invalid.
        """
        found = (self.folder / name for name in PREPROCESSOR_FILES)
        path = next((each for each in found if each.is_file()), None)
        content = read_json(path) if path else {}
        try:
            return parse(content.get("image_processor", content))
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{path or self.folder}: invalid preprocessor config ({error!r})"
            ) from error

    def load(self, **options: Any) -> "PreTrainedModel":
        """Load the network in float32, with additional arguments to ``from_pretrained``.

        Raises:
            UserError: weights are missing or cannot be read.
        """
        import transformers  # noqa: PLC0415 - takes seconds

        option, class_name = self.kind.option, self.kind.classes[self.model_type]
        local = any((self.folder / name).is_file() for name in WEIGHT_FILES)
        if not local and str(self.folder) == self.source:
            raise self._no_weights(class_name)
        for path in sorted(self.folder.glob("model*.safetensors*")):
            refuse_mistaken(path)
        try:
            network, loading_info = quiet_from_pretrained(
                getattr(transformers, class_name),
                # Without safetensors files, transformers fetches the hub's automatic conversion.
                str(self.folder) if local else self.source,
                use_safetensors=True,
                **options,
            )
        except Exception as error:
            # The error types depend on the installed versions.
            if not local:
                raise self.kind.download_error(self.source, error) from error
            raise UserError(
                f"{option} {self.source}: the weights cannot be read: {first_line(error)}"
            ) from error
        missing = sorted(
            key
            for key in loading_info["missing_keys"]
            if not any(part in key for part in self.kind.unused)
        )
        if missing:
            raise UserError(
                f"{option} {self.source}: {len(missing)} weights of {class_name} are missing, such"
                f" as {missing[0]}"
            )
        return network

    def _no_weights(self, class_name: str) -> UserError:
        where = f"{self.kind.option} {self.folder}"
        if not (self.folder / "pytorch_model.bin").is_file():
            return UserError(f"{where}: model.safetensors not found")
        return UserError(
            f"{where}: pytorch_model.bin is not read, because .bin files can run code. If you"
            " trust it, convert it to model.safetensors:",
            details=f'python -c "from transformers import {class_name} as M;'
            f" M.from_pretrained(r'{self.folder}').save_pretrained(r'{self.folder}')\"",
        )


def architecture_of(config: Mapping[str, Any]) -> object:
    """Return the model_type in config.json; :data:`TIMM` for networks of timm, which have none."""
    return config.get("model_type", TIMM if "pretrained_cfg" in config else None)


def read_normalisation(
    stated: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel, for images in 0..1.

    Args:
        stated: content of a preprocessor config.
        mean: default mean.
        std: default standard deviation.

    Raises:
        ValueError: the mean or standard deviation is not three numbers, or a standard deviation
            is not above 0.
    """
    if stated.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    try:
        means = tuple(float(value) for value in stated.get("image_mean") or mean)
        stds = tuple(float(value) for value in stated.get("image_std") or std)
    except (TypeError, ValueError, OverflowError):
        means = stds = ()
    finite = all(map(math.isfinite, (*means, *stds)))
    if len(means) != 3 or len(stds) != 3 or not finite or min(stds) <= 0:
        raise ValueError("image_mean and image_std must have three numbers each, image_std above 0")
    return means, stds


def quiet_from_pretrained(
    model_class: Any, source: str | None, **options: Any
) -> tuple["PreTrainedModel", dict[str, Any]]:
    """Load a model in float32, without transformers' messages and progress bars.

    Args:
        model_class: transformers model class.
        source: folder or hub id; ``None`` if ``options`` contains a state_dict.
        options: additional arguments to ``from_pretrained``.

    Returns:
        The model, and the loading info with missing and unexpected weights.
    """
    with quiet_transformers():
        model, loading_info = model_class.from_pretrained(
            source, dtype=torch.float32, output_loading_info=True, **options
        )
    return model, loading_info


def hub_reason(hub_id: str, error: Exception) -> str:
    """Describe why a download from the hub failed, for error messages."""
    from huggingface_hub import errors  # noqa: PLC0415 - only failures need it

    gated, offline = isinstance(error, errors.GatedRepoError), is_offline(error)
    # transformers raises errors of its own, caused by those of the hub.
    missing = (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)
    if gated:
        reason = "access denied"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "the repository does not exist or is private"
    elif offline and (isinstance(error, missing) or isinstance(error.__cause__, missing)):
        reason = (
            "offline mode is on and the files are not in the local cache; set HF_HUB_OFFLINE=0 to"
            " download them"
        )
    elif isinstance(error, errors.LocalEntryNotFoundError):
        reason = "the hub cannot be reached and the files are not in the local cache"
    else:
        reason = first_line(error)
    if gated or (hub_id.startswith("facebook/dinov3") and not offline):
        reason += (
            f"; the weights are gated: request access on the hub page of {hub_id}, then log in"
            " with `hf auth login`"
        )
    return reason


def is_offline(error: Exception) -> bool:
    """Return whether the hub's client must stay offline, as its settings or its error say."""
    from huggingface_hub import constants, errors  # noqa: PLC0415 - only failures need it

    chain = (error, error.__cause__)
    refused = any(isinstance(each, errors.OfflineModeIsEnabled) for each in chain)
    return refused or constants.HF_HUB_OFFLINE


def first_line(error: Exception) -> str:
    """Return the class of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file cannot be read, or does not contain a JSON object.
    """
    refuse_mistaken(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: does not contain a JSON object")
    return content


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Disable transformers' messages and progress bars, and restore the settings afterwards."""
    import huggingface_hub.utils  # noqa: PLC0415 - takes seconds
    import transformers.utils  # noqa: PLC0415 - takes seconds

    hub: Any = huggingface_hub.utils
    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    hub_bars_off = hub.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        if bars:
            logging.disable_progress_bar()  # also disables the hub's progress bars
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
                if hub_bars_off:
                    hub.disable_progress_bars()
