"""From codes to classes: prototypes, levels, their number, and which to merge."""
