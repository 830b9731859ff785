"""The summary of a replayed trace, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ratelimit.algorithms import OF_SLOTS
from ratelimit.cli.replay.inputs import notes_on, traces_json
from ratelimit.cli.terminal import Text
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.correlation.memory import tally_of
from ratelimit.decision import Reason
from ratelimit.features.steps import BY_NAME
from ratelimit.inspection import formatting
from ratelimit.inspection.identities import given, short_hash
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule, twin_counter
from ratelimit.policy.compile.identities import ACTOR, CLUSTER, LIKELY, YOUNG
from ratelimit.replay.facts import RecordFacts
from ratelimit.replay.run import Replay
from ratelimit.replay.tally import LimitTally
from ratelimit.telemetry.names import RuleColumn
from ratelimit.traces import Traces

TOP = 5


class Summary:
    """The outcome of one replay.

    Args:
        replay: what was decided.
        traces: what was read.
        reveal: whether identities are shown as given instead of as hashes.
    """

    def __init__(self, replay: Replay, traces: Traces, *, reveal: bool) -> None:
        self._replay = replay
        self._traces = traces
        self._reveal = reveal
        self._policy: CompiledPolicy = replay.compiled
        self._facts = RecordFacts(replay.bound, replay.fields) if replay.first_ns is not None else None

    def print(self, console: Console, policy: str) -> None:
        """Write it for people."""
        replay = self._replay
        head = Table.grid(padding=(0, 2))
        head.add_column(style="dim")
        head.add_column(overflow="fold")
        for at, reader in enumerate(self._traces.readers):
            read = f"{reader.source.name} ({reader.format})"
            if len(self._traces.readers) > 1:
                read += f": {formatting.count(reader.requests, 'request')}"
            head.add_row("" if at else "trace", Text(read))
        head.add_row("policy", Text(policy))
        if replay.first_ns is not None:
            span = formatting.wait(replay.last_ns - replay.first_ns)
            head.add_row(
                "time",
                f"{formatting.instant(replay.first_ns)} to {formatting.instant(replay.last_ns)} UTC ({span})",
            )
        refused = replay.refused
        admitted = replay.requests - refused
        outcome = Text(f"{replay.requests:,}: ")
        outcome.append(f"{admitted:,} admitted", "green")
        outcome.append(", ")
        outcome.append(f"{refused:,} refused", "red" if refused else "")
        outcome.append(f" ({formatting.share(refused, replay.requests)})")
        head.add_row("requests", outcome)
        for (allowed, reason), number in sorted(replay.outcomes.items(), key=lambda item: -item[1]):
            if number and reason.value not in ("limits",):
                head.add_row(
                    "", f"{number:,} {'admitted' if allowed else 'refused'}: {_REASONS[reason.value]}"
                )
        for (limit, action), number in replay.acted.items():
            head.add_row("", f"{number:,} {BY_NAME[action].replayed} by “{limit}”")
        if (ramps := replay.rising.ramps) is not None:
            would = "would have been" if ramps.is_shadow else "were"
            head.add_row("", f"{replay.rising.held:,} {would} held, as their accounts rose steeply")
        if (correlation := self._correlation()) is not None:
            head.add_row("correlation", self._correlation_words(correlation))
        console.print(head)
        console.print()
        console.print(self._limits())
        if any(tally.keys for tally in replay.tallies.values()):
            console.print()
            console.print(self._most_refused())

    def notes(self) -> list[str]:
        """Return what should be known about these numbers."""
        replay = self._replay
        notes = notes_on(self._traces)
        if replay.history is not None and replay.requests:
            notes.append(f"{formatting.count(replay.imported, 'payer')} known from the history")
        if (lacking := self._lacking()) and replay.outcomes.get((False, Reason.IDENTITY)):
            where = " ".join(f"--map {name}=FIELD" for name in lacking)
            notes.append(f"is {' or '.join(lacking)} in the trace? Where it is called otherwise: {where}")
        if replay.requests and any(rule.algorithm in OF_SLOTS for rule in self._policy.rules):
            notes.append(
                "limits on requests at once never refuse here: a trace does not record how long requests took"
            )
        if evicted := self._evictions():
            notes.append(
                f"{formatting.count(evicted, 'live counter')} evicted for want of room: raise store.keys"
            )
        return notes

    def _lacking(self) -> list[str]:
        """Return the identities without which requests are refused, but for the address: a trace has that."""
        return [
            spec.name for spec in self._policy.identities if spec.missing == "refuse" and not spec.is_address
        ]

    def as_json(self, policy: str) -> dict[str, Any]:
        """Return it for machines."""
        replay = self._replay
        return {
            **traces_json(self._traces),
            "policy": policy,
            "requests": replay.requests,
            "admitted": replay.requests - replay.refused,
            "refused": replay.refused,
            "reasons": [
                {"action": "allow" if allowed else "refuse", "reason": reason.value, "requests": number}
                for (allowed, reason), number in replay.outcomes.items()
                if number
            ],
            "first_time": None if replay.first_ns is None else formatting.iso(replay.first_ns),
            "last_time": None if replay.first_ns is None else formatting.iso(replay.last_ns),
            "correlation": self._correlation(),
            "history": None if replay.history is None else {"payers": replay.imported},
            "held": None if replay.rising.ramps is None else replay.rising.held,
            "limits": [self._limit_json(rule) for rule in self._named_rules()],
            "evictions": self._evictions(),
        }

    def _correlation(self) -> dict[str, Any] | None:
        """Return what actors there are at the end, and what they cost in requests; None without any."""
        replay = self._replay
        actors = replay.actors
        if actors is None or replay.first_ns is None:
            return None
        tally = tally_of(actors.correlator)
        return {
            "refused": sum(tally.refused for tally in replay.tallies.values() if tally.rule.is_clustered),
            "would_refuse": actors.would_refuse.total(),
            **{
                verdict: {"clusters": clusters, "members": members}
                for verdict, (clusters, members) in sorted(tally.items())
            },
        }

    @staticmethod
    def _correlation_words(correlation: dict[str, Any]) -> Text:
        refused, would = correlation["refused"], correlation["would_refuse"]
        text = Text(f"{refused:,} refused by limits per actor", "red" if refused else "")
        if would:
            text.append(f", {would:,} of likely actors would be", "yellow")
        for verdict in ("certain", "likely"):
            counts = correlation[verdict]
            if counts["clusters"]:
                found = formatting.count(counts["clusters"], f"{verdict} actor")
                text.append(
                    f"; {found} with {formatting.count(counts['members'], 'member')}", "not bold default"
                )
        return text

    def _named_rules(self) -> list[LimitRule]:
        """Return a rule for each name: tiers of a limit are counted together."""
        return list({rule.name: rule for rule in reversed(self._policy.rules)}.values())[::-1]

    def _totals(self, name: str) -> Sequence[int]:
        store = self._replay.store
        return (0,) * 8 if store is None else store.table.totals(store.table.counter(name))

    def _twin_totals(self, rule: LimitRule) -> Sequence[int]:
        """Return what a limit per actor would have decided about likely actors."""
        return self._totals(twin_counter(rule.name)) if rule.verdict == "certain" else (0,) * 8

    def _evictions(self) -> int:
        store = self._replay.store
        if store is None:
            return 0
        stats = store.table.stats(self._replay.last_ns)
        return stats["evictions"] + stats["block_evictions"]

    def _limits(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("limit")
        table.add_column("allows", overflow="fold")
        for title in ("applied to", "refused", "", "would refuse"):
            table.add_column(title, justify="right")
        for rule in self._named_rules():
            totals = self._totals(rule.name)
            applied = (
                totals[RuleColumn.ALLOWED] + totals[RuleColumn.REFUSED] + totals[RuleColumn.REFUSED_IN_SHADOW]
            )
            refused, shadow = totals[RuleColumn.REFUSED], totals[RuleColumn.REFUSED_IN_SHADOW]
            if rule.following.admits and not rule.shadow:
                shadow = 0  # they passed, with less
            # What it would refuse likely clusters stands with what it would refuse in shadow.
            shadow += self._twin_totals(rule)[RuleColumn.REFUSED_IN_SHADOW]
            per = formatting.as_said(formatting.per(rule, self._policy))
            whose = f"each {per}" if rule.per else per
            table.add_row(
                Text(rule.name, "bold"),
                f"{formatting.rate_of(rule, self._policy)}, for {whose}",
                f"{applied:,}",
                Text(f"{refused:,}", "red" if refused else "dim"),
                Text(formatting.share(refused, applied) if refused else "", "dim"),
                Text(f"{shadow:,}" if shadow or formatting.mode(rule) != "enforce" else "", "yellow"),
            )
        return table

    def _most_refused(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("refused most by")
        table.add_column("whom" if self._reveal else "whom (--reveal shows them)", overflow="fold")
        table.add_column("refused", justify="right")
        for tally in self._replay.tallies.values():
            for at, (key, number) in enumerate(tally.keys.most_common(TOP)):
                name = Text(tally.rule.name, "bold") if at == 0 else Text("")
                table.add_row(name, Text(self._whom(tally, key)), f"{number:,}")
            if (left := len(tally.keys) + tally.forgotten - TOP) > 0:
                table.add_row("", Text(f"and {left:,} others", "dim"), "")
        return table

    def _whom(self, tally: LimitTally, key: tuple[int, ...]) -> str:
        parts = [f"{formatting.as_said(name)} {shown}" for name, shown in self._parts(tally, key)]
        return ", ".join(parts) or "everyone"

    def _parts(self, tally: LimitTally, key: tuple[int, ...]) -> list[tuple[str, str]]:
        parts = []
        for position, hashed in zip(tally.rule.per, key, strict=True):
            spec = self._policy.identities[position]
            is_cluster = spec.name in (CLUSTER, YOUNG, LIKELY, ACTOR)
            shown = short_hash(cluster_of(hashed) if is_cluster else hashed)
            if self._reveal and self._facts is not None:
                if is_cluster:
                    shown = f"{shown} of {self._principal(tally.shown[key], self._facts)}"
                elif (value := given(spec, tally.shown[key], self._facts)) is not None:
                    shown = value
                else:
                    ip = tally.shown[key].ip
                    shown = f"missing, counted by {ip}" if spec.missing == "client" and ip else "missing"
            parts.append((CLUSTER if is_cluster else spec.name, shown))
        return parts

    def _principal(self, record: Any, facts: RecordFacts) -> str:
        """Return the account of one of an actor's requests."""
        correlation = self._policy.correlation
        at = () if correlation is None else correlation.principal
        return " ".join(given(self._policy.identities[one], record, facts) or "missing" for one in at)

    def _limit_json(self, rule: LimitRule) -> dict[str, Any]:
        totals = self._totals(rule.name)
        found = [tally for tally in self._replay.tallies.values() if tally.rule.name == rule.name]
        top = sorted(
            ((number, tally, key) for tally in found for key, number in tally.keys.most_common(TOP)),
            key=lambda item: -item[0],
        )[:TOP]
        return {
            "limit": rule.name,
            "allowed": totals[RuleColumn.ALLOWED],
            "refused": totals[RuleColumn.REFUSED],
            "refused_in_shadow": totals[RuleColumn.REFUSED_IN_SHADOW],
            "acted": {
                action: number for (name, action), number in self._replay.acted.items() if name == rule.name
            },
            "skipped": totals[RuleColumn.SKIPPED],
            "likely_refused": self._twin_totals(rule)[RuleColumn.REFUSED_IN_SHADOW],
            "decided_refusal": sum(tally.refused for tally in found),
            "keys_refused": sum(len(tally.keys) + tally.forgotten for tally in found),
            "most_refused": [
                {"identities": dict(self._parts(tally, key)), "refused": number} for number, tally, key in top
            ],
        }


_REASONS = {
    "unlimited": "no limit applies to them",
    "allow-list": "on the allow list",
    "deny-list": "on the deny list",
    "identity": "an identity the policy insists on is missing",
    "store": "the store failed",
}
