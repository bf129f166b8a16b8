"""Name suggestions for classes from a vision-language model."""
