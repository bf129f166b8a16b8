"""Scoring masks against labels."""
