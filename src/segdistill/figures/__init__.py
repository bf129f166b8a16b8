"""Figures for papers: segmentation examples, legend, IoU by class, training curves."""
