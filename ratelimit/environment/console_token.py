"""The token of the console, as the environment has it."""

from __future__ import annotations

CONSOLE_TOKEN = "RATELIMIT_CONSOLE_TOKEN"
"""The variable with a token that lasts; without it there is a new one each time."""
LEAST_TOKEN = 16
"""Characters below which it can be found by trying."""
