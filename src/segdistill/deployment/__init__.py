"""Models for other programs: graphs that need neither segdistill nor, some of them, torch."""
