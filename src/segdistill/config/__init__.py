"""Typed settings, presets, and reading them from YAML and the command line."""
