"""The vocabulary of trueup: money, rows, changes, findings. Pure."""
