"""Errors that a user can mend."""


class UserError(Exception):
    """Something the user gave cannot be used; the message names it and the mend.

    The command line prints the message alone and exits with status 2. Library code raises it
    (or a subclass) for every mistake in what was given, so that callers can tell such mistakes
    from defects of the program.

    Example:
        >>> raise UserError("photos/: no images found; give a folder that holds images")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: photos/: no images found; give a folder that holds images
    """


class LostProcessError(Exception):
    """Another of several processes that work together has ended; nothing the user gave is wrong."""


class FullDiskError(UserError):
    """A disk of this machine is full, which no other file and no other attempt will mend."""
