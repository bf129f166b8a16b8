"""A toy world: rendered outdoor scenes with exact labels and depth, for demos and tests."""
