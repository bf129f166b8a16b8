"""Estimating the depth of images with networks of others, and writing it beside them.

Importing this package imports neither torch nor transformers: its modules do.
"""
