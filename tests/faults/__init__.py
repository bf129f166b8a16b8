"""Faults injected into real use: ``python -m tests.faults`` proves that nothing is lost by them."""
