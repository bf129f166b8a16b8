"""Typed settings, their validation, and presets."""
