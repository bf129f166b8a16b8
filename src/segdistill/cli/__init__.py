"""The command line: parse, call the library, print what was written and where."""
