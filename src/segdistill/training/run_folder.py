"""The run folder: the outputs of a fit, and the state needed to resume it.

::

    runs/photos/
        segmenter.safetensors   the model
        segmenter.json
        settings.yaml           every setting, resolved
        history.csv             the losses of every step
        facts.json              images used and skipped, timings, shifts
        log/                    TensorBoard
        report.html
        checkpoint.safetensors  only until the run is finished
"""

import contextlib
import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.files import (
    atomic_path,
    remove_leftovers,
    translate_os_errors,
    write_text_atomically,
)
from segdistill.images.decode import content_hash
from segdistill.images.finding import ImageFile
from segdistill.images.folder import CheckedImage
from segdistill.model.files import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.linear_probe import PROBE_FILE
from segdistill.training.early_stopping import EarlyStopping
from segdistill.training.loop import StepRecord
from segdistill.training.modules import TrainingModules

SETTINGS_FILE = "settings.yaml"
HISTORY_FILE = "history.csv"
FACTS_FILE = "facts.json"
REPORT_FILE = "report.html"
LOG_FOLDER = "log"
CHECKPOINT_FILE = "checkpoint.safetensors"

FORMAT_ERRORS = (yaml.YAMLError, csv.Error, SafetensorError)

# Settings that may change on resuming: they affect where and how fast a fit runs, not its result.
CHANGEABLE_SETTINGS = frozenset(
    {"device", "precision", "cache", "strict", "training.checkpoint_every"}
)

# Settings that keep their original values if they are omitted on resuming.
CONTINUED_SETTINGS = ("classes", "resolution", "segment_resolution", "dataset")


class RunFolder:
    """A run folder, which may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds a finished model."""
        return (self.path / DESCRIPTION_FILE).exists()

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return self.is_finished or (self.path / SETTINGS_FILE).exists()

    def check(self, settings: FitSettings, *, overwrite: bool, resume: bool) -> None:
        """Check, before any work, that a run can be written here.

        Raises:
            UserError: the folder holds a run but neither ``overwrite`` nor ``resume`` is set, holds
                other files, or cannot be written; or the run to resume has different settings; or
                both options are set.
        """
        if overwrite and resume:
            raise UserError("--overwrite and --resume: choose one")
        # A run that was killed while writing its first file leaves only temporary files.
        remove_leftovers(self.path)
        if self.is_run:
            if resume:
                self._check_same_settings(settings)
            elif not overwrite:
                state = "a finished" if self.is_finished else "an unfinished"
                raise UserError(
                    f"{self.path}: holds {state} run already;"
                    " add --resume to continue with it, --overwrite to replace it,"
                    " or choose another folder with --out"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(
                f"{self.path}: exists and is not a run; choose another folder with --out"
            )
        # Check that the folder is writable before hours of work.
        with translate_os_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            # An unnamed file cannot be left behind.
            with tempfile.TemporaryFile(dir=self.path):
                pass

    def with_continued_settings(self, settings: FitSettings) -> FitSettings:
        """Return the settings, with omitted ones filled in from the run being resumed."""
        before = self.read_settings()
        left_out: dict[str, Any] = {
            name: before.get(name) for name in CONTINUED_SETTINGS if getattr(settings, name) is None
        }
        return replace(settings, **left_out)

    def begin(self, settings: FitSettings, *, resume: bool) -> None:
        """Write the settings; without ``resume``, first remove the files of an earlier run."""
        if resume and self.is_run:
            return
        if self.is_run:
            # Remove the description first: a folder without one is not recognised as a model.
            names = (DESCRIPTION_FILE, WEIGHTS_FILE, CHECKPOINT_FILE, HISTORY_FILE, FACTS_FILE)
            # A linear probe is only valid for the codes of one model.
            for name in (*names, PROBE_FILE, REPORT_FILE):
                (self.path / name).unlink(missing_ok=True)
            for event_file in (self.path / LOG_FOLDER).glob("events.out.tfevents.*"):
                event_file.unlink()
        self._write_settings(settings.as_plain())

    def read_settings(self) -> dict[str, Any]:
        """Read the run's settings as plain values."""
        path = self.path / SETTINGS_FILE
        with _translate_damage(path):
            plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        return plain if isinstance(plain, dict) else {}

    def write_history(self, history: Iterable[StepRecord]) -> None:
        """Write the losses of every step, one row per step."""
        with (
            atomic_path(self.path / HISTORY_FILE) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(StepRecord)])
            writer.writerows(asdict(record).values() for record in history)

    def read_history(self) -> list[StepRecord]:
        """Read the losses of every step; empty if there is no history file."""
        path = self.path / HISTORY_FILE
        if not path.exists():
            return []
        with _translate_damage(path), path.open(newline="", encoding="utf-8") as file:
            return [
                StepRecord(step=int(row.pop("step")), **{name: float(row[name]) for name in row})
                for row in csv.DictReader(file)
            ]

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Write the facts of the run."""
        write_text_atomically(self.path / FACTS_FILE, json.dumps(facts, indent=2) + "\n")

    def read_facts(self) -> dict[str, Any]:
        """Read the facts of the run; empty if there is no such file."""
        path = self.path / FACTS_FILE
        if not path.exists():
            return {}
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return facts

    def write_checkpoint(
        self,
        modules: TrainingModules,
        optimiser: torch.optim.Adam,
        history: list[StepRecord],
        *,
        images: str,
        stopping: EarlyStopping | None = None,
    ) -> None:
        """Write the state needed to resume after the last step of ``history``.

        ``images`` is the fingerprint of the images, stored to prevent resuming with different ones.
        """
        tensors = {f"modules.{name}": value for name, value in modules.state_dict().items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        metadata = {"step": str(history[-1].step), "images": images}
        if stopping is not None:
            tensors |= {f"best.{name}": value for name, value in stopping.best_state.items()}
            metadata["agreement_history"] = stopping.history_as_json()
        self.write_history(history)
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with atomic_path(self.path / CHECKPOINT_FILE) as temporary:
            # Written as bytes: a full disk then raises OSError, which safetensors' save_file hides.
            temporary.write_bytes(save(plain, metadata=metadata))

    def read_checkpoint(
        self,
        modules: TrainingModules,
        optimiser: torch.optim.Adam,
        *,
        images: str,
        stopping: EarlyStopping | None = None,
    ) -> list[StepRecord]:
        """Restore modules, optimiser and early stopping from the last checkpoint.

        Returns:
            The losses of the steps so far; empty if there is no checkpoint.

        Raises:
            UserError: the checkpoint is damaged, or was written for different images.
        """
        path = self.path / CHECKPOINT_FILE
        if not path.exists():
            return []
        with _translate_damage(path), safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["images"] != images:
            raise UserError(
                f"{self.path}: images or backbone have changed since the run was interrupted; put"
                " them back, or start again with --overwrite"
            )
        modules.load_state_dict(_with_prefix(tensors, "modules."))
        if stopping is not None:
            stopping.resume(metadata.get("agreement_history", "[]"), _with_prefix(tensors, "best."))
        state = optimiser.state_dict()
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, number, key = name.split(".")
                state["state"].setdefault(int(number), {})[key] = value
        optimiser.load_state_dict(state)
        step = int(metadata["step"])
        history = [record for record in self.read_history() if record.step <= step]
        if len(history) != step:
            raise UserError(
                f"{self.path / HISTORY_FILE}: does not go with the checkpoint; use --overwrite"
            )
        return history

    def finalise(self) -> None:
        """Finish the run once the model is written; has no further effect when repeated."""
        plain, estimated = self.read_settings(), self.read_facts().get("class_count")
        # Not earlier: a resumed run must estimate the number of classes again.
        if estimated is not None and plain.get("classes") is None:
            self._write_settings(plain | {"classes": estimated["chosen"]})
        (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def _write_settings(self, plain: dict[str, Any]) -> None:
        """Write the settings; ``fit --config settings.yaml`` then repeats the run."""
        write_text_atomically(self.path / SETTINGS_FILE, yaml.safe_dump(plain, sort_keys=False))

    def _check_same_settings(self, settings: FitSettings) -> None:
        # Settings missing from a run of an older version have their defaults.
        before = flattened(FitSettings().as_plain()) | flattened(self.read_settings())
        differing = [
            f"{name} = {before[name]}, not {value}"
            for name, value in flattened(settings.as_plain()).items()
            if before[name] != value
            and not CHANGEABLE_SETTINGS & {name, name.split(".")[0]}
            and not (value is None and name in CONTINUED_SETTINGS)
        ]
        if differing:
            raise UserError(
                f"{self.path}: was begun with {', and '.join(differing)};"
                " --resume continues with the same settings, --overwrite starts again"
            )


@contextlib.contextmanager
def _translate_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, *FORMAT_ERRORS) as error:
        raise UserError(f"{path}: cannot be read ({error}); use --overwrite") from error


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested settings to dotted names.

    Example:
        >>> flattened({"head": {"channels": 70}, "classes": None})
        {'head.channels': 70, 'classes': None}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = flattened(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name}.{below}".rstrip("."): each for below, each in nested.items()}
    return flat


def images_fingerprint(images: Sequence[CheckedImage]) -> str:
    """Return a fingerprint of the contents of images, independent of their names and order.

    Example:
        >>> a, b = (CheckedImage(ImageFile(Path(n), Path(n)), n, 1, 1) for n in "ab")
        >>> images_fingerprint([a, b]) == images_fingerprint([b, a]) != images_fingerprint([a])
        True
    """
    return content_hash(" ".join(sorted(image.digest for image in images)).encode())


def names_by_folder(files: Sequence[ImageFile]) -> dict[str, list[str]]:
    """Return the names of images, in order, by the absolute path of their base folder.

    Example:
        >>> names_by_folder([ImageFile(Path("/a/b/c.png"), Path("b/c.png"))])
        {'/a': ['b/c.png']}
    """
    names: dict[str, list[str]] = {}
    for file in files:
        path = file.path.absolute()
        # The name of a benchmark image may differ from its file name.
        depth = (
            len(file.name.parts) if path.parts[-len(file.name.parts) :] == file.name.parts else 1
        )
        folder = path.parents[depth - 1]
        names.setdefault(str(folder), []).append(path.relative_to(folder).as_posix())
    return names


def files_from_facts(facts: Mapping[str, Any]) -> list[ImageFile]:
    """Return the images listed in a run's facts by :func:`names_by_folder`, in order.

    The files may no longer exist. Runs of older versions do not list them.

    Example:
        >>> files_from_facts({"files": {"/a": ["b/c.png"]}})[0].path.as_posix()
        '/a/b/c.png'
        >>> files_from_facts({})
        []
    """
    return [
        ImageFile(Path(folder, name), Path(name))
        for folder, names in facts.get("files", {}).items()
        for name in names
    ]
