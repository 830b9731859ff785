"""Lines of what this host refused and shed of callers, read from the table that its workers share.

What reads them for people loads no limiter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.deciding.denials import counter_of, denied_counters
from ratelimit.errors import StoreError
from ratelimit.load.compile import AdaptiveSpec
from ratelimit.load.shed import shed_accounts
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.shed import ShedLine
from ratelimit.telemetry.remote import COUNTER_STOOD_IN

IN_CODE = ""
"""The name of a limit that is not known here: one in the application's code."""
_DENIED = counter_of("")
_MARK = "\x1f"

Line = tuple[str, int, int, int, int, int, bool, int]
"""Limit, hash, refused, uncertain, first and last time, whether the limit only would have refused; and how
often in the last sixty seconds.

Of the deny list the limit is the name of a counter and the mark of an act, see `denied_by`. Where a tier's
numbers refused, it is the limit and the tier, see `limit_and_tier`.
"""


def denied_by(limit: str) -> tuple[str, int]:
    """Return by which identity the deny list refused a caller, and the act's mark; empty for a limit."""
    if not limit.startswith(_DENIED):
        return "", 0
    identity, _, mark = limit.removeprefix(_DENIED).partition(_MARK)
    try:
        return identity, int(mark or "0", 16)
    except ValueError:  # of another release
        return identity, 0


def limit_and_tier(limit: str) -> tuple[str, str]:
    """Return the limit that refused a caller, and the tier whose numbers it went by; empty for its own."""
    name, _, tier = limit.partition(_MARK)
    return name, tier


def rules_by_note(table: Table, rules: Iterable[LimitRule]) -> dict[tuple[int, int], LimitRule]:
    """Return limits by the counter and the mark that their refusals are noted with."""
    found: dict[tuple[int, int], LimitRule] = {}
    for rule in rules:
        found.setdefault((table.counter(rule.counter_name), rule.mark), rule)
    return found


def stood_in_counter(table: Table) -> int:
    """Return the counter that refusals by a host's share alone are noted with; -1 where there is none."""
    try:
        return table.counter(COUNTER_STOOD_IN)
    except StoreError:
        return -1


def refusal_lines(
    table: Table,
    compiled: CompiledPolicy,
    rules: Iterable[LimitRule],
    hashes: Collection[int] | None,
    now_ns: int,
) -> list[Line]:
    """Return what limits refused of callers within the last hour, the latest first; of all, those first that
    are refused most now: in the last sixty seconds, then within the hour.

    Args:
        table: where they are noted.
        compiled: the policy.
        rules: the limits that are known.
        hashes: what limits count the callers by; of actors, their own. None for all callers.
        now_ns: the time.
    """
    known = rules_by_note(table, rules)
    denied = denied_counters(compiled, table)
    stood_in = stood_in_counter(table)
    found = []
    for counter, who, refused, uncertain, since_ns, last_ns, in_shadow, mark, now in refusals_in(
        table, now_ns
    ):
        if counter == stood_in:
            continue  # noted once more there: see `ratelimit.inspection.journal.outage`
        rule = known.get((counter, mark))
        is_actor = rule is not None and rule.is_clustered and len(rule.per) == 1
        if hashes is None or (cluster_of(who) if is_actor else who) in hashes:
            name = IN_CODE if rule is None else rule.name
            if rule is not None and rule.tier is not None:
                name += f"{_MARK}{rule.tier}"
            if counter in denied:
                name = f"{counter_of(denied[counter])}{_MARK}{mark:08x}"
            found.append((name, who, refused, uncertain, since_ns, last_ns, in_shadow, now))
    return sorted(found, key=lambda line: (-line[7], -line[2]) if hashes is None else (-line[5], 0))


def shed_lines(
    flights: Iterable[tuple[AdaptiveSpec, InFlight]], table: Table, accounts: Collection[int], now_ns: int
) -> list[ShedLine]:
    """Return what was shed of some accounts within the last hour, the latest first.

    Args:
        flights: limits that follow the load, and what each has in flight.
        table: of their host.
        accounts: their hashes.
        now_ns: the time.
    """
    found = [
        ShedLine(one.group, one.class_, one.account, one.shed, one.would_shed, one.why, one.last_ns)
        for spec, flight in flights
        for one in shed_accounts(spec, table, flight, now_ns, {})
        if one.account in accounts
    ]
    return sorted(found, key=lambda each: -each.last_ns)
