"""The error of files that bear an image's name but hold none."""

from segdistill.errors import UserError


class UnreadableImageError(UserError):
    """A file that bears an image's name but cannot be decoded."""
