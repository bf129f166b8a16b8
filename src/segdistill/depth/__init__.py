"""Monocular depth estimation with pretrained networks.

Importing this package imports neither torch nor transformers.
"""
