"""The channels: for each, the request that carries a message, and what its answer means. Pure but for sending mail."""
