"""Allow and deny lists as a feature of a policy."""

from __future__ import annotations

from collections.abc import Iterator

from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.denials import Denials
from ratelimit.deciding.part import Part
from ratelimit.deciding.stage import Deciding, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.lists.access import ALLOWED, DENIED


class Lists(Feature):
    """The lists of one bound policy.

    Args:
        bound: the policy.
        table: where denied callers are noted.
    """

    is_outer = True

    def __init__(self, bound: BoundPolicy, table: Table) -> None:
        denials = Denials(bound.compiled, bound.extractor, bound.amendment.acts, table)
        self.stage = ListsStage(bound.extractor.listed_at, denials)


class ListsStage(Stage):
    """Decides requests with an identity or address on a list.

    Args:
        listed_at: the position of a row that says which.
        denials: notes callers that are denied.
    """

    name = "lists"
    is_early = True
    is_compiled = True

    def __init__(self, listed_at: int, denials: Denials) -> None:
        self._listed_at = listed_at
        self._denials = denials

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request that is on a list, and pass on the others."""
        listed = pending.row[self._listed_at]
        if listed == ALLOWED:
            return True, Reason.ALLOW_LIST, None, None
        if listed == DENIED:
            pending.denials = self._denials
            return False, Reason.DENY_LIST, None, None
        return (yield from rest(pending))


class ListsPart(Part):
    """The lists of one limiter: it keeps nothing of them."""

    def features(self, bound: BoundPolicy) -> Iterator[Feature]:
        """Yield the lists of a policy."""
        if bound.has_lists:
            yield Lists(bound, self.host.table)


PART = ListsPart
