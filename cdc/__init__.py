"""Change data capture: source databases in, Debezium envelopes on Kafka out."""
