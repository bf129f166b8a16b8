"""Masks in the formats of other programs: one file a format, and one row in ``formats.py``."""
