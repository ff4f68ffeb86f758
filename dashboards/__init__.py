"""What people look at: the web UI, alert sinks and Grafana dashboards."""
