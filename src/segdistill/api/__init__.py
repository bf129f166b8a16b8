"""The public functions, listed in :mod:`segdistill.operations`: fit, segment, evaluate, ..."""
