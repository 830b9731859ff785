"""Shared memory: the table, its entries and blocks, and the keyed hashes they are found by."""
