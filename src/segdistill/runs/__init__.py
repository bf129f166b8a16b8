"""The run folder: what a fit writes, described once and checked when it is read."""
