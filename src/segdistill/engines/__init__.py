"""Who does the work on very many files: this process, or many workers on many machines."""
