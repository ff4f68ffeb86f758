"""Micro-batch stream processing on Faust: merge, judge, total, write."""
