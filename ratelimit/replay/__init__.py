"""Recorded requests decided as live ones are: whole batches, and what came of them."""
