"""Enforcement while the server is away: each worker lets its fair share through."""
