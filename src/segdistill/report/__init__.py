"""Self-contained HTML reports of fits and evaluations."""
