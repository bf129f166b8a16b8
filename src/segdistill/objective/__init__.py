"""The mathematics of training: sampling and losses, as pure functions of tensors."""
