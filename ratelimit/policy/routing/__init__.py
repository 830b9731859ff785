"""Routing: from a request's path to the limits that it matches."""
