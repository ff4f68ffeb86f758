"""ClickHouse: schema, migrations, columnar writes, rebuild reads."""
