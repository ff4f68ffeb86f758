"""Benchmarks on real parts: `python -m benchmarks` runs them all and writes `results.md` and `results.json`."""
