"""Segmenting files: reading, refining and writing masks."""
