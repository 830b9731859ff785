"""`ratelimit make limits`: limits from what callers of a trace really use.

Imports nothing: the command is loaded when it is called.
"""
