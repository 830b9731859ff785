"""What the Redis store costs beside its peers: a server of its own, started and ended by each question."""
