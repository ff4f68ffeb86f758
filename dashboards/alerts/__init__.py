"""Alerts: discrepancies told to people where they are, once each, within what every channel takes."""
