"""Requests that wait for room in a limit, and which of them is next: pure."""
