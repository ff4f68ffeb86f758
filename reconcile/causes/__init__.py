"""The likely cause of a discrepancy, told from the books alone; `docs/rules/README.md` has the list and the order of tests."""
