"""The refusals of some callers as hosts tell them, counted by limit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.inspection import formatting
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.stores.shed import ShedLine


@dataclass(frozen=True)
class HostsReport:
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
        return self._by_limit(per, hashes, in_shadow=False)

    def would(self, per: str, hashes: Collection[int]) -> dict[str, int]:
        """Return how often each limit in shadow that counts by one identity would have refused a caller."""
        return self._by_limit(per, hashes, in_shadow=True)

    def now(self, per: str, hashes: Collection[int], limit: str, *, in_shadow: bool) -> int:
        """Return how often a limit refused a caller, or would have, in the last sixty seconds."""
        lines = self._lines(per, hashes, in_shadow=in_shadow)
        return sum(each.now for each in lines if each.limit == limit)

    def _by_limit(self, per: str, hashes: Collection[int], *, in_shadow: bool) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self._lines(per, hashes, in_shadow=in_shadow):
            found[each.limit] = found.get(each.limit, 0) + each.refused
        return found

    def _lines(self, per: str, hashes: Collection[int], *, in_shadow: bool) -> Iterator[Refused]:
        """Yield what is told of limits that count by one identity of a caller."""
        for each in self.refused:
            who = cluster_of(each.hash) if per == CLUSTER else each.hash
            if (each.per, each.in_shadow) == (per, in_shadow) and who in hashes and each.limit != DENY_LIST:
                yield each

    def beside(self, per: str, hashes: Collection[int]) -> dict[tuple[str, str], int]:
        """Return what refused a caller as something else: by the limit and what it counts by, how often."""
        found: dict[tuple[str, str], int] = {}
        own = self.of(per, hashes)
        for each in self.refused:
            if not each.in_shadow and each.limit not in (*own, DENY_LIST) and each.per not in ("", CLUSTER):
                found[each.limit, each.per] = found.get((each.limit, each.per), 0) + each.refused
        return found


def refused_words(told: HostsReport, per: str, hashes: Collection[int], who: str = "it") -> list[str]:
    """Return a phrase for each limit that refused a caller within the last hour, with the hosts.

    Of a limit in shadow it is what it would have refused: nothing of that was.
    """
    said = [("", name, times) for name, times in told.of(per, hashes).items()]
    aside = {each.limit: each.aside for each in told.refused if each.in_shadow}
    said += [(aside[name], name, times) for name, times in told.would(per, hashes).items()]
    return [
        f"`{name}`{f' would have refused {who} ({why})' if why else f' refused {who}'} "
        f"{formatting.count(times, 'time')} within the last hour, "
        f"{told.now(per, hashes, name, in_shadow=bool(why)):,} in the last minute, {told.where}"
        for why, name, times in said
    ]
