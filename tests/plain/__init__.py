"""Plain forms: each computes what its text says, step by step, for tests and benchmarks."""
