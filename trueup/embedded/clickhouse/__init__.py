"""ClickHouse without a server: the chDB engine behind ClickHouse's HTTP interface on the loopback address."""
