"""Rendered outdoor scenes of a toy world with exact labels and depth, for demos and tests."""
