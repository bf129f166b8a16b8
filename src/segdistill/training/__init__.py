"""Learning head and clusters from stored features."""
