"""What tests of the fuzzer do not collect."""

from importlib.util import find_spec

# It needs atheris, which the extra `dev` does not bring.
collect_ignore = [] if find_spec("atheris") else ["worker.py"]
