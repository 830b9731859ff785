"""`ratelimit make policy`: policies from other limiters' configuration.

Imports nothing: the command is loaded when it is called.
"""
