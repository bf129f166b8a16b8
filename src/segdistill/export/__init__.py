"""Masks in the formats of other programs: one class a format, and one row in ``folder.py``."""
