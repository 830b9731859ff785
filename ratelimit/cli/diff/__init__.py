"""`ratelimit diff`: two policies over one trace.

Imports nothing: the command is loaded when it is called.
"""
