"""Kafka Connect with Debezium on one machine: one Java process, its jars resolved by Maven."""
