"""Apache Kafka on one machine: one Java process that is broker and controller (KRaft), its jars resolved by Maven."""
