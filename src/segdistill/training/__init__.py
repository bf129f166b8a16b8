"""Training of the head and clusters on stored features."""
