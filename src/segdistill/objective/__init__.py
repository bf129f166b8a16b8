"""Sampling and losses for training, as pure functions of tensors."""
