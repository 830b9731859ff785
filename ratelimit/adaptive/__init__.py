"""Limits that follow the load and the conduct. Pure: time is an argument, nothing is read or written."""
