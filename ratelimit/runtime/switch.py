"""The switch that turns limiting off for a process: `RATELIMIT_ENABLED=0`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.stage import Deciding, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
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


class Off(Stage):
    """Lets every request pass: the first stage where limits are off, whichever door it came by."""

    name = "off"
    is_early = True

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Let a request pass."""
        yield from ()  # a generator, as all that decides
        return True, Reason.UNLIMITED, None, None


class Switch(Feature):
    """The switch as a feature of a policy."""

    is_outer = True

    def __init__(self) -> None:
        self.stage = Off()


def switched_off(bound: BoundPolicy) -> Iterator[Feature]:
    """Make the feature of a policy whose limits are off."""
    yield Switch()
