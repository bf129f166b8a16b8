"""The run folder: what a fit writes, read and written in one place."""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from segdistill.config.settings import FitSettings
from segdistill.config.yaml_text import parse_yaml
from segdistill.errors import UserError
from segdistill.files import (
    check_regular,
    read_short_text,
    remove_leftovers,
    translate_os_errors,
    write_text_atomically,
)
from segdistill.json_files import as_checked_json
from segdistill.layout import (
    CHECKPOINT_FILE,
    DESCRIPTION_FILE,
    FACTS_FILE,
    HISTORY_FILE,
    LOG_FOLDER,
    PROBE_FILE,
    REPORT_FILE,
    SETTINGS_FILE,
    WEIGHTS_FILE,
)
from segdistill.runs.facts import Facts, read_facts
from segdistill.runs.history import StepRecord, read_history, write_history

# Settings that may change on resuming: they affect where and how fast a fit runs, not its result.
CHANGEABLE_SETTINGS = frozenset(
    {"device", "precision", "cache", "strict", "training.checkpoint_every"}
)

# Settings that keep their original values if they are omitted on resuming.
CONTINUED_SETTINGS = ("classes", "resolution", "segment_resolution", "dataset")

# The description comes first: a folder without one is not recognised as a model. A linear probe is
# only valid for the codes of one model.
OVERWRITTEN_FILES = (
    *(DESCRIPTION_FILE, WEIGHTS_FILE, CHECKPOINT_FILE, HISTORY_FILE, FACTS_FILE),
    *(PROBE_FILE, REPORT_FILE),
)

SETTINGS_MARKS = (b"backbone", b"training")
"""Settings that settings.yaml of every version has, and hardly that of another program."""
SETTINGS_BYTES = 100_000
PAIRS_OF_EARLIER_VERSIONS = "separate"

FIX = "restore it from a copy, or fit again with --overwrite"
DAMAGE = (
    OSError,
    ValueError,
    AttributeError,
    RecursionError,
    yaml.YAMLError,
    msgspec.MsgspecError,
)
"""What reading a damaged settings file raises."""


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
        return self.is_finished or self._is_begun

    @property
    def _is_begun(self) -> bool:
        """Whether the folder holds settings of a fit, not those of another program."""
        path = self.path / SETTINGS_FILE
        if (self.path / CHECKPOINT_FILE).exists():
            return path.exists()
        try:
            check_regular(path)
            with path.open("rb") as file:
                start = file.read(SETTINGS_BYTES)
        except OSError:
            return False
        return all(re.search(rb"^%s:" % name, start, re.MULTILINE) for name in SETTINGS_MARKS)

    def check(self, settings: FitSettings, *, overwrite: bool, resume: bool) -> None:
        """Check, before any work, that a run can be written here.

        Raises:
            UserError: the folder holds a run but neither ``overwrite`` nor ``resume`` is set, holds
                other files, or cannot be written; or the run to resume has different settings; or
                both options are set.
        """
        if overwrite and resume:
            raise UserError("--overwrite and --resume: give only one of them")
        # A run that was killed while writing its first file leaves only temporary files.
        remove_leftovers(self.path)
        if self.is_run:
            if resume:
                self._check_same_settings(settings)
            elif not overwrite:
                state = "a finished" if self.is_finished else "an unfinished"
                raise UserError(
                    f"{self.path}: already contains {state} run;"
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
            name: getattr(before, name)
            for name in CONTINUED_SETTINGS
            if getattr(settings, name) is None
        }
        return replace(settings, **left_out)

    def begin(self, settings: FitSettings, *, resume: bool) -> None:
        """Write the settings; without ``resume``, first remove the files of an earlier run."""
        if resume and self.is_run:
            return
        if self.is_run:
            for name in OVERWRITTEN_FILES:
                (self.path / name).unlink(missing_ok=True)
            for event_file in (self.path / LOG_FOLDER).glob("events.out.tfevents.*"):
                event_file.unlink()
        self.write_settings(settings)

    def read_settings(self) -> FitSettings:
        """Read the settings; those that an earlier version did not have are as it worked then.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.path / SETTINGS_FILE
        try:
            check_regular(path)
            text = read_short_text(path, what="settings", option="RUN")
            plain = parse_yaml(text)
            if not plain:
                raise ValueError("it is empty")
            # One number stands for a list of one, as earlier versions wrote it.
            depth = plain.get("depth", {})
            if isinstance(depth.get("invalid"), int | float):
                depth["invalid"] = [depth["invalid"]]
            # So that an interrupted fit goes on as it began.
            plain.setdefault("training", {}).setdefault("pairs", PAIRS_OF_EARLIER_VERSIONS)
            settings = msgspec.convert(plain, FitSettings, dec_hook=_decoded)
        except DAMAGE as error:
            raise UserError(f"{path}: cannot be read ({error}); {FIX}") from error
        try:
            return settings.validated()
        except UserError as error:
            raise UserError(f"{path}: {error}; {FIX}") from error

    def write_history(self, history: Iterable[StepRecord]) -> None:
        """Write the losses of every step, one row per step."""
        write_history(self.path / HISTORY_FILE, history)

    def read_history(self) -> list[StepRecord]:
        """Read the losses of every step; empty if there is no history file."""
        return read_history(self.path / HISTORY_FILE)

    def write_facts(self, facts: Facts) -> None:
        """Write the facts of the fit."""
        write_text_atomically(self.path / FACTS_FILE, as_checked_json(facts))

    def read_facts(self) -> Facts:
        """Read the facts of the fit; empty if there is no such file."""
        return read_facts(self.path / FACTS_FILE)

    def finalise(self) -> None:
        """Finish the run once the model is written; has no further effect when repeated."""
        settings, estimated = self.read_settings(), self.read_facts().class_count
        # Not earlier: a resumed run must estimate the number of classes again.
        if estimated is not None and settings.classes is None:
            self.write_settings(replace(settings, classes=estimated.chosen))
        (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def write_settings(self, settings: FitSettings) -> None:
        """Write the settings; ``fit --config settings.yaml`` then repeats the run."""
        text = yaml.safe_dump(settings.as_plain(), sort_keys=False)
        write_text_atomically(self.path / SETTINGS_FILE, text)

    def _check_same_settings(self, settings: FitSettings) -> None:
        before = self.read_settings().flattened()
        differing = [
            f"{name} = {_shown(before[name])}, not {_shown(value)}"
            for name, value in settings.flattened().items()
            if before[name] != value
            and not CHANGEABLE_SETTINGS & {name, name.split(".")[0]}
            and not (value is None and name in CONTINUED_SETTINGS)
        ]
        if differing:
            raise UserError(
                f"{self.path}: was started with {', and '.join(differing)};"
                " --resume continues with the same settings, --overwrite starts over"
            )


def _shown(value: Any) -> str:
    """Return the value of a setting as users read it; ``None`` stands for a default."""
    return "its default" if value is None else str(value)


def _decoded(kind: type[Any], value: Any) -> Any:
    """Return a path of the settings, which YAML holds as text."""
    return kind(value)
