"""The schedule of upkeep that requests do where no thread does it."""

from typing import final

@final
class Pace:
    """Says whether an interval has passed since upkeep was last done.

    The compiled gate and the decider ask the same object, so both do upkeep with the same request.
    A clock that steps back makes upkeep due. A new pace is due at once.

    Args:
        interval_ns: nanoseconds from one upkeep to the next.
    """

    def __new__(cls, interval_ns: int, /) -> Pace: ...
    is_kept_up: bool
    """True if a thread does the upkeep: then nothing is ever due."""
    def is_due(self, now_ns: int, /) -> bool:
        """Return whether upkeep is to be done at this instant."""
    def done(self, now_ns: int, is_busy: bool, /) -> None:
        """Note that upkeep was done; `is_busy`: there is more to do, with the very next request."""
