"""Threads of this library beside an event loop that is busy."""
