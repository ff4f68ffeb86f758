"""Rules as data: specs that people write, read with every error at once and compiled to one function per group."""
