"""Proposing names for classes with a network that knows images and words."""
