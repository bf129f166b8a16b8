"""The objectives that train a head: their protocol, their registry and one module for each."""
