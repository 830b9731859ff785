"""Sliding windows in the table; for compiled modules alone."""
