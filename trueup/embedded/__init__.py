"""The stack on one machine: real services as supervised child processes, on loopback, under one data directory."""
