"""Identities: a request's facts, hashed.

Pure: no event loop, no clock, no logging. Nothing here knows a `scope`; the
caller hands over raw headers, the peer's address and whatever else it has.
"""
