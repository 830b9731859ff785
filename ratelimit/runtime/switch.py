"""The switch that turns limiting off for a process: `RATELIMIT_ENABLED=0`."""

from __future__ import annotations

import os

from ratelimit.errors import UsageError

VARIABLE = "RATELIMIT_ENABLED"
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
forced: bool | None = None
"""In place of what the environment says, while an application is tested: see `ratelimit.testing`."""


def is_enabled() -> bool:
    """Return what the environment says; True where it says nothing.

    Raises:
        UsageError: it says something else than yes or no (code `enabled-value`): a word that is misspelled
            must not turn limits off, nor seem to.
    """
    if forced is not None:
        return forced
    said = os.environ.get(VARIABLE, "").strip().lower()
    if not said:
        return True
    if said not in (*_YES, *_NO):
        raise UsageError(f"{VARIABLE} is {said[:32]!r}; write 1 or 0", code="enabled-value")
    return said in _YES
