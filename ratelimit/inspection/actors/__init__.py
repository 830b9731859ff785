"""Actors: what the correlator saved of them, what they use now, and their evidence."""
