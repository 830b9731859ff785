"""One principal and its actor: the verdict and what it rests on, for people and for machines.

Where the evidence comes from is apart from what is said of it. It may be a trace replayed to its
end, or whatever else has a correlator and its policy.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from ratelimit.cli.failure import INPUT, Failure
from ratelimit.cli.terminal import Text, note, say, table_of
from ratelimit.correlation import Explanation
from ratelimit.correlation.description import describe_account, reason_of, short
from ratelimit.correlation.explanation import Family, Shared
from ratelimit.decision import VERDICTS
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.evidence import Source, from_server
from ratelimit.inspection.actors.running import revealed_hashes
from ratelimit.inspection.callers.profile import kinds_of
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy

MOST_SHOWN = 4
"""Identifiers of one family that people are shown; machines get all."""


def explain_principal(source: Source, written: str) -> ExplanationText:
    """Return what is to be said of one account. One of several identities is written with commas."""
    compiled = source.bound.compiled
    spec = compiled.correlation
    assert spec is not None  # see from_trace
    (key,) = revealed_hashes(source.bound, [written])
    found = source.correlator.explain(key)
    if found is None:
        raise Failure(f"{source.name}: this account was not seen, or was forgotten", INPUT)
    return ExplanationText(found, compiled, source.correlator.now_ns)


class ExplanationText:
    """An explanation, put into words.

    Args:
        found: the explanation.
        compiled: the policy.
        now_ns: when that was found.
    """

    def __init__(self, found: Explanation, compiled: CompiledPolicy, now_ns: int) -> None:
        self._found = found
        self._rules = compiled.rules
        self._kinds = kinds_of(compiled)
        self._now_ns = now_ns

    def print(self, console: Console) -> None:
        """Write it for people."""
        found = self._found
        head = Text("principal ", "bold") + Text(_hex(found.principal))
        if found.cluster is None:
            head += Text("   in no actor", "not bold green")
        else:
            head += Text("   in actor ", "not bold") + Text(_hex(found.cluster), "yellow")
            words = formatting.verdict_words(VERDICTS[found.verdict], self._rules)
            head += Text(f", {words}", f"not bold {_COLOURS[found.verdict]}")
        say(console, head)
        say(console, Text(self._seen(), "dim"))
        console.print()
        for line in describe_account(found, self._now_ns):
            say(console, Text(line))
        say(console, Text(reason_of(found), "bold"))
        if found.cluster is not None:
            console.print()
            say(console, Text("its actor ", "bold") + Text(self._actor()))
            say(console, Text(found.words))
        console.print()
        console.print(self._identifiers())

    def _seen(self) -> str:
        found = self._found
        asked = formatting.taken(found.requests, found.last_ns - found.first_ns)
        return (
            f"{asked}, from {formatting.instant(found.first_ns)} to {formatting.instant(found.last_ns)} UTC"
            + ("" if found.created_ns is None else f", created {formatting.instant(found.created_ns)}")
        )

    def _actor(self) -> str:
        found = self._found
        words = formatting.verdict_words(VERDICTS[found.actor], self._rules)
        said = f"{words}, {formatting.count(found.members, 'account')}"
        if found.since_ns is None:
            return said
        return f"{said}; both there since {formatting.instant(found.since_ns)} UTC"

    def _identifiers(self) -> Table:
        found = self._found
        table = table_of("seen with", "hash", "accounts>", "hours>", "last seen (UTC)", "")
        for shared in self._families().values():
            for number, one in enumerate(shared[:MOST_SHOWN]):
                table.add_row(Text(self._kind(one) if number == 0 else "", "bold"), *_cells(one, found))
            if (left := len(shared) - MOST_SHOWN) > 0:
                table.add_row("", Text(f"and {left} more", "dim"))
        return table

    def _families(self) -> dict[int, list[Shared]]:
        """Return what it was seen with by kind: homes first, then those of the actor, then the latest."""
        kinds: dict[int, list[Shared]] = {}
        for one in sorted(
            self._found.shared, key=lambda one: (one.kind, not one.is_home, not one.is_clusters, -one.last_ns)
        ):
            kinds.setdefault(one.kind, []).append(one)
        return kinds

    def _kind(self, one: Shared) -> str:
        return self._kinds.get(one.kind, one.family)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        found = self._found
        families: dict[Family, list[Shared]] = {}
        for shared in self._families().values():
            families.setdefault(shared[0].family, []).extend(shared)
        return {
            "principal": _hex(found.principal),
            "cluster": None if found.cluster is None else _hex(found.cluster),
            "verdict": VERDICTS[found.verdict],
            "reason": reason_of(found),
            "words": describe_account(found, self._now_ns),
            "actor": None if found.cluster is None else self._actor_json(),
            "first_seen": formatting.iso(found.first_ns),
            "last_seen": formatting.iso(found.last_ns),
            "created": None if found.created_ns is None else formatting.iso(found.created_ns),
            "age": found.age,
            "homes": [_hex(one.hash) for one in found.shared if one.is_home],
            "asked": found.requests,
            "asked_a_day": formatting.rounded_a_day(found.requests, found.last_ns - found.first_ns),
            "ruling": found.override,
            "families": [
                {"family": family, "seen_with": [self._shared_json(one) for one in shared]}
                for family, shared in families.items()
            ],
        }

    def _actor_json(self) -> dict[str, Any]:
        found = self._found
        return {
            "verdict": VERDICTS[found.actor],
            "why": found.why,
            "words": found.words,
            "accounts": found.members,
            "since": None if found.since_ns is None else formatting.iso(found.since_ns),
            "young_until": None if found.young_until_ns is None else formatting.iso(found.young_until_ns),
        }

    def _shared_json(self, one: Shared) -> dict[str, Any]:
        return {
            "kind": self._kind(one),
            "hash": _hex(one.hash),
            "principals": one.principals,
            "is_actors": one.is_clusters,
            "is_home": one.is_home,
            "hours": one.hours,
            "span_hours": one.span_h,
            "last_seen": formatting.iso(one.last_ns),
            "infrastructure": one.is_infrastructure,
        }


def _cells(one: Shared, found: Explanation) -> tuple[Text | str, ...]:
    owner = "its actor's" if found.cluster is not None else "an actor's"
    notes = [
        note
        for note, holds in (
            ("home", one.is_home),
            (owner, one.is_clusters),
            ("infrastructure", one.is_infrastructure),
        )
        if holds
    ]
    style = "green" if one.is_home else "yellow" if one.is_clusters else "dim"
    return (
        Text(short(one.hash), "dim" if one.is_infrastructure else ""),
        f"{one.principals:,}",
        f"{one.hours:,}",
        formatting.instant(one.last_ns),
        Text(", ".join(notes), style),
    )


def _hex(number: int) -> str:
    return f"{number:016x}"


_COLOURS = ("green", "cyan", "yellow")
"""By verdict."""


def saved_evidence(policy: Policy) -> Source | None:
    """Return what the correlator of all hosts has saved; None where it has nothing, or nothing correlates."""
    if policy.compiled.correlation is None:
        return None
    try:
        return from_server(policy)
    except InspectionFailure as failure:
        note(f"No actor is known: {failure}.")
        return None
