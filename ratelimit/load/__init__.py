"""Limits that follow the load of a back end: what goes on, what is held, what is shed."""
