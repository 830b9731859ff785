"""Requests with a cost that is estimated before the application sees them, and read from its answer."""
