"""The comparison harness behind benchmarks/run.py. Python's standard library only."""
