"""Figures for a paper: images beside their segments, a legend, IoU by class, training curves."""
