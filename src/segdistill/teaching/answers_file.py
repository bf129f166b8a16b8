"""``answers.json`` in a run folder: what a person taught it."""

from pathlib import Path
from typing import Any

import msgspec

from segdistill.errors import UserError
from segdistill.files import stamp_of, write_text_atomically
from segdistill.json_files import as_checked_json, as_kind, read_json
from segdistill.layout import ANSWERS_FILE
from segdistill.locks import only_writer
from segdistill.teaching.answers import Answer, Answers, TaughtClass

FORMAT = 1
WRITING_SECONDS = 10.0
"""How long to wait for another command that writes to the run."""

FIX = "restore it from a copy, or move it away to start over"


class _Record(msgspec.Struct):
    """The content of the file."""

    classes: tuple[TaughtClass, ...]
    answers: tuple[Answer, ...]
    undone: tuple[Answer, ...] = ()
    format: int = FORMAT


def read_answers(run: Path) -> Answers:
    """Read the answers of a run; none if nothing has been taught.

    Raises:
        UserError: the file is damaged, or of a newer format.
    """
    path = run / ANSWERS_FILE
    if not path.exists():
        return Answers()
    return _checked(read_json(path, _Record, what="answers", fix=FIX), path, FIX)


def answers_of_json(plain: Any, path: Path, *, fix: str) -> Answers:
    """Return the answers that the content of a file describes.

    Args:
        plain: the content.
        path: the file, for errors.
        fix: what to do about a damaged one.

    Raises:
        UserError: the file is damaged, or of a newer format.
    """
    return _checked(as_kind(plain, _Record, name=str(path), what="answers", fix=fix), path, fix)


def _checked(record: _Record, path: Path, fix: str) -> Answers:
    """Return the answers of a record of this format, in which each name is given once."""
    if record.format != FORMAT:
        raise UserError(
            f"{path}: format {record.format}, but this version reads format {FORMAT}; install the"
            " version that wrote it"
        )
    answers = Answers()
    try:
        for each in record.classes:
            answers = answers.with_classes([each.name])
        for given in (*record.answers, *record.undone):
            if given.verdict == "class":
                answers.require(given.name)
    except UserError as error:
        raise UserError(f"{path}: {error}; {fix}") from error
    return Answers(record.classes, record.answers, record.undone)


def write_answers(run: Path, answers: Answers) -> None:
    """Write the answers of a run, completely or not at all.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    write_text_atomically(run / ANSWERS_FILE, json_of_answers(answers))


def json_of_answers(answers: Answers) -> str:
    """Return the content of a file of answers."""
    return as_checked_json(_Record(answers.classes, answers.answers, answers.undone))


class AnswersChangedError(UserError):
    """Another program has written the answers in the meantime."""


class AnswersFile:
    """The answers of a run, which other programs may change as well.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._path = run / ANSWERS_FILE
        self._stamp = stamp_of(self._path)

    @property
    def is_changed(self) -> bool:
        """Whether another program wrote the file since it was last read or written here."""
        return stamp_of(self._path) != self._stamp

    def read(self) -> Answers:
        """Read the answers; see :func:`read_answers`."""
        stamp = stamp_of(self._path)
        answers = read_answers(self._run)
        self._stamp = stamp
        return answers

    def write(self, answers: Answers) -> None:
        """Write the answers; see :func:`write_answers`.

        Raises:
            AnswersChangedError: another program wrote the file; nothing is changed.
        """
        with only_writer(self._run, seconds=WRITING_SECONDS):
            if self.is_changed:
                raise AnswersChangedError(
                    f"{self._path}: changed by another program; read it again before changing it"
                )
            write_answers(self._run, answers)
            self._stamp = stamp_of(self._path)
