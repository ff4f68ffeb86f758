"""Grafana's data sources, dashboards and alarms as files, made from code: nothing is clicked together."""
