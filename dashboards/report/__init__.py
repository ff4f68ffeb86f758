"""The report of a day: what was open, raised and resolved, as one HTML file or as a PDF."""
