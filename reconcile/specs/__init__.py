"""Specs that are shipped: package data, read through importlib.resources."""
