"""Benchmarks: measured, never part of the pass/fail tests. `python -m tests.benchmarks --help`."""
