"""Engines that process large sets of files, in this process or with distributed workers."""
