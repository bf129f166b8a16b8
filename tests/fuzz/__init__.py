"""Fuzzing of every reader of files and requests: ``python -m tests.fuzz --help``."""
