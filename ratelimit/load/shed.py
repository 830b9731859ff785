"""The accounts that a host shed for want of room, and the reasons, read from shared memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.shed import ShedAccounts
from ratelimit.load.compile import DEFAULT_GROUP, AdaptiveSpec, class_names
from ratelimit.load.metrics import shed_counter
from ratelimit.load.model.shedding import ActorVerdict, ShedPriority

VERDICTS: tuple[ActorVerdict, ...] = ("none", "likely", "certain")
"""By what they are remembered as: see `WORSE`."""


@dataclass(frozen=True, slots=True)
class ShedAccount:
    """One account that was shed within the last hour, or in shadow would have been, as one class."""

    group: str
    """The limit that shed it, by its name."""
    rank: int
    class_: str
    account: int
    """Its hash; 0 is all requests without an account."""
    shed: int
    """The number of times that it was turned away since `since_ns`."""
    would_shed: int
    """The number of times that it went on all the same, since the limit was in shadow."""
    before_others: int
    """How many of both found no room where another account of the class would have."""
    uncertain: int
    """How many of both may be other accounts'."""
    since_ns: int
    last_ns: int
    priority: ShedPriority
    """The reason that put it behind others: as of the last time that it went before some, if it ever did."""
    given: str | None
    """The value that the operator asked about, if this is it."""

    @property
    def total(self) -> int:
        """The number of times that it was shed or would have been."""
        return self.shed + self.would_shed

    @property
    def why(self) -> str:
        """Return in words what puts it behind others of its class."""
        return reason(self.priority)


def reason(priority: ShedPriority) -> str:
    """Return in words what puts an account behind others of its class."""
    said = {
        "certain": "a certain actor",
        "likely": "a likely actor",
        "bad conduct": f"bad conduct, limits at {priority.factor:.0%}",
    }.get(priority.of)
    over = "over its share" if priority.is_over else None
    heavy = f"heavier than {priority.lighter:.0%} of accounts" if priority.lighter >= 0.005 else None
    return "; ".join(filter(None, (over, said, heavy))) or "at random"


def named(group: str, class_: str) -> str:
    """Return in words a class, and the limit it is of where that has a name."""
    return f"class {class_}" if group == DEFAULT_GROUP else f"class {class_} of {group}"


def shed_accounts(
    spec: AdaptiveSpec, table: Table, flight: InFlight, now_ns: int, revealed: Mapping[int, str]
) -> list[ShedAccount]:
    """Return the accounts that one limit shed, those shed most first; of two, the one of the higher class.

    Args:
        spec: the limit, as the table's workers run it.
        table: that table.
        flight: what they have in flight under it.
        now_ns: the time.
        revealed: values that the operator asks about, by their hash.
    """
    names = class_names(spec)
    ranks = {table.counter(shed_counter(spec.name, name)): rank for rank, name in enumerate(names)}
    found: dict[tuple[int, int], ShedAccount] = {}
    for account, counter, in_shadow, before, shed, uncertain, since_ns, last_ns, *why in sorted(
        ShedAccounts(flight).accounts(now_ns), key=lambda each: (each[3], each[7])
    ):
        if (rank := ranks.get(counter)) is None:  # a class that the policy has no more
            continue
        verdict, factor, lighter = why
        known = found.get((rank, account))
        found[rank, account] = ShedAccount(
            spec.name,
            rank,
            names[rank],
            account,
            (0 if known is None else known.shed) + (0 if in_shadow else shed),
            (0 if known is None else known.would_shed) + (shed if in_shadow else 0),
            (0 if known is None else known.before_others) + (shed if before else 0),
            (0 if known is None else known.uncertain) + uncertain,
            since_ns if known is None else min(known.since_ns, since_ns),
            last_ns if known is None else max(known.last_ns, last_ns),
            ShedPriority(
                rank,
                len(names),
                verdict=VERDICTS[min(int(verdict), len(VERDICTS) - 1)],
                factor=factor,
                lighter=lighter,
                account=account,
            ),
            revealed.get(account),
        )
    return sorted(found.values(), key=lambda each: (-each.total, each.rank, each.account))
