"""Faster train steps. Each is optional: delete its file, and the reference in `xpnn.steps` does the work.

A step stays here only with a recorded gain of 1.3x (docs/benchmarks.md) and a test that compares it with the reference.
"""
