"""`python -m trueup.cli` is the command `trueup`."""

from trueup.cli import main

main()
