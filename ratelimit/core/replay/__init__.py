"""Whole columns of recorded requests."""
