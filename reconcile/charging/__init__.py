"""Charging and clearing: which fees an order's factors give by a charging spec, and who owes whom. See docs/formulas.md."""
