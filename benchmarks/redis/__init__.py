"""Costs of the Redis store beside its peers: each question starts and ends a server of its own."""
