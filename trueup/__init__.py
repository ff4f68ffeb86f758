"""trueup reconciles money while it moves."""

__version__ = "0.1.0"
