"""The formula language: exact arithmetic that users write, read by a whitelist and compiled once. See docs/formulas.md."""
