"""Requests that wait for room: lines of an event loop, and which request is next."""
