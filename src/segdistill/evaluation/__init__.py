"""Evaluation of masks against labels."""
