"""Files that are found in place of weights: Git LFS pointers, web pages and empty files."""

from pathlib import Path

from segdistill.errors import UserError

LFS_START = b"version https://git-lfs.github.com/spec/"
HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
BYTES_READ = 512


def refuse_mistaken(path: Path) -> None:
    """Refuse a file that was not downloaded as it should; others, and missing ones, are let pass.

    Raises:
        UserError: the file is a Git LFS pointer, a web page or empty. The message starts with the
            path, and says how to get the file that was meant.
    """
    try:
        with path.open("rb") as file:
            start = file.read(BYTES_READ)
    except OSError:
        return  # the reader of the file says why
    if not start:
        raise UserError(f"{path}: the file is empty; download or copy it again")
    if start.startswith(LFS_START):
        raise UserError(
            f"{path}: a Git LFS pointer, which stands for the file; run `git lfs pull` in its"
            " repository, or download the file itself"
        )
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(HTML_STARTS):
        raise UserError(
            f"{path}: a web page (HTML), such as that of a login or an error, saved in place of the"
            " file; download it again, from the link to the file itself"
        )
