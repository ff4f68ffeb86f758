"""The rules that the books must satisfy, and the life of a discrepancy. Pure."""
