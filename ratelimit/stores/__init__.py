"""Stores of limits' state: `contract` has their laws, `embedded` is the memory of this host."""
