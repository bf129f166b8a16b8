"""Programs for those who work on segdistill; not part of the package."""
