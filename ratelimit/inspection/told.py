"""The refusals of some callers as hosts tell them, counted by limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.inspection import formatting
from ratelimit.inspection.hosts import Refused
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.stores.shed import ShedLine


@dataclass(frozen=True)
class Told:
    """What hosts say of some callers, within the last hour."""

    refused: Sequence[Refused] = ()
    """The latest first."""
    shed: Sequence[tuple[str, ShedLine]] = ()
    """What was shed for want of room, each with its host."""
    hosts: Sequence[str] = ()
    """The hosts that answered."""
    missing: Sequence[str] = ()
    """The hosts that did not."""
    policies: str = ""
    """A sentence if hosts go by different policies."""
    is_shared: bool = False
    """Whether there is a server, and so other hosts may have refused them."""
    gone: Sequence[str] = ()
    """The hosts that ended or are taken for gone, with since when."""

    @property
    def where(self) -> str:
        """Which hosts this is of, for the end of a phrase."""
        if not self.is_shared:
            return "here"
        on = f"on {', '.join(dict.fromkeys(self.hosts))}" if self.hosts else "on no host"
        on += f"; no answer from {', '.join(self.missing)}" if self.missing else ""
        return f"{on}; without {', '.join(self.gone)}" if self.gone else on

    def of(self, per: str, hashes: Collection[int]) -> dict[str, int]:
        """Return how often each limit that counts by one identity refused a caller, on all hosts together."""
        found: dict[str, int] = {}
        for each in self.refused:
            who = cluster_of(each.hash) if per == CLUSTER else each.hash
            if each.per == per and who in hashes and not each.in_shadow and each.limit != DENY_LIST:
                found[each.limit] = found.get(each.limit, 0) + each.refused
        return found

    def would(self, per: str, hashes: Collection[int]) -> dict[str, int]:
        """Return how often each limit in shadow that counts by one identity would have refused a caller."""
        found: dict[str, int] = {}
        for each in self.refused:
            who = cluster_of(each.hash) if per == CLUSTER else each.hash
            if each.per == per and who in hashes and each.in_shadow:
                found[each.limit] = found.get(each.limit, 0) + each.refused
        return found

    def now(self, per: str, hashes: Collection[int], limit: str, *, in_shadow: bool) -> int:
        """Return how often a limit refused a caller, or would have, in the last sixty seconds."""
        return sum(
            each.now
            for each in self.refused
            if (each.limit, each.in_shadow) == (limit, in_shadow)
            and each.per == per
            and (cluster_of(each.hash) if per == CLUSTER else each.hash) in hashes
        )

    def beside(self, per: str, hashes: Collection[int]) -> dict[tuple[str, str], int]:
        """Return what refused a caller as something else: by the limit and what it counts by, how often."""
        found: dict[tuple[str, str], int] = {}
        own = self.of(per, hashes)
        for each in self.refused:
            if not each.in_shadow and each.limit not in (*own, DENY_LIST) and each.per not in ("", CLUSTER):
                found[each.limit, each.per] = found.get((each.limit, each.per), 0) + each.refused
        return found


def refused_words(told: Told, per: str, hashes: Collection[int], who: str = "it") -> list[str]:
    """Return a phrase for each limit that refused a caller within the last hour, with the hosts.

    Of a limit in shadow it is what it would have refused: nothing of that was.
    """
    said = [(False, name, times) for name, times in told.of(per, hashes).items()]
    said += [(True, name, times) for name, times in told.would(per, hashes).items()]
    return [
        f"`{name}`{', in shadow, would have refused' if shadow else ' refused'} {who} "
        f"{formatting.count(times, 'time')} within the last hour, "
        f"{told.now(per, hashes, name, in_shadow=shadow):,} in the last minute, {told.where}"
        for shadow, name, times in said
    ]
