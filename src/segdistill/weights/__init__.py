"""Reading weight files of others as data: no code in them is run."""
