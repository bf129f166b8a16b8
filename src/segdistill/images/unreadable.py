"""The error for image files that cannot be decoded."""

from segdistill.errors import UserError


class UnreadableImageError(UserError):
    """A file that is named like an image but cannot be decoded."""
