"""Units of a rule, added and taken without asking it."""

from collections.abc import Sequence

from ratelimit.core.decision.engine import Plan

def add_use(plan: Plan, index: int, identities: Sequence[int], units: int, now_ns: int, /) -> None:
    """Charge one rule of a plan without asking, into its debt at most.

    Raises:
        ValueError: its state is no word.
    """

def take_use(plan: Plan, index: int, identities: Sequence[int], most: int, now_ns: int, /) -> int:
    """Take up to `most` of the units that are in use of one rule; return how many.

    No unit is taken twice, however many workers take at once.

    Raises:
        ValueError: its state is no word.
    """
