"""`ratelimit replay`: a recorded trace decided in virtual time, and what each limit refused of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.table import Table

from ratelimit.algorithms import OF_SLOTS
from ratelimit.cli.failure import INPUT, USAGE, Failure
from ratelimit.cli.loading import load
from ratelimit.cli.terminal import Text, err, note, out, print_json
from ratelimit.cli.traces import (
    TOP,
    head_of,
    history_of,
    no_correlation_option,
    no_progress_option,
    notes_on,
    open_inputs,
    reading,
    seed_option,
    show_disorder,
    shown,
    table_of,
    trace_options,
    traces_json,
)
from ratelimit.clock import monotonic_ns
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.description import verdict_word
from ratelimit.correlation.memory import tally_of
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.decision import Reason
from ratelimit.features.steps import BY_NAME
from ratelimit.inspection import formatting
from ratelimit.inspection.identities import given, short_hash
from ratelimit.lab.actors import Actors
from ratelimit.lab.records import RecordFacts
from ratelimit.lab.replay import LimitTally, Replay, replay_of
from ratelimit.lab.traces import Traces
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import LimitRule, twin_counter
from ratelimit.policy.compile.identities import ACTOR, CLUSTER, LIKELY, YOUNG
from ratelimit.telemetry.names import RuleColumn

_REASONS = {
    "unlimited": "no limit applies to them",
    "allow-list": "on the allow list",
    "deny-list": "on the deny list",
    "identity": "an identity the policy insists on is missing",
    "store": "the store failed",
}


@click.command("replay")
@click.argument("policy", type=click.Path())
@click.option(
    "--decisions", type=click.Path(allow_dash=True, dir_okay=False), help="Write one JSON line a request."
)
@trace_options
@click.option(
    "--reveal", is_flag=True, help="Show refused identities as the trace gives them, not as hashes."
)
@click.option(
    "--clusters", type=click.Path(dir_okay=False), help="Write the actors that were found, as JSON."
)
@seed_option
@click.option(
    "--history",
    type=click.Path(exists=True, dir_okay=False),
    help="Begin with these payers: a file of `ratelimit make history`.",
)
@no_correlation_option
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@no_progress_option
def replay_command(
    policy: str,
    traces: tuple[str, ...],
    decisions: str | None,
    reveal: bool,
    clusters: str | None,
    seed: int,
    history: str | None,
    no_correlation: bool,
    as_json: bool,
    no_progress: bool,
    format_: str,
    sort: bool,
    mapping: tuple[str, ...],
) -> None:
    """Decide a recorded trace in virtual time: which requests would each limit have refused?

    TRACE is NDJSON (one request a line: time, method, path, ip, user_agent, headers, any
    identity by its policy name, units by theirs), or an access log of nginx or Apache;
    --map names the fields of other JSON. gzip is recognised, "-" is standard input.
    Several traces are one, merged by time.
    Counters start empty, in memory of their own: a running deployment is not touched.

    \b
    Examples:
      ratelimit replay policy.toml access.log.gz
      ratelimit replay policy.toml host-a.log host-b.log --sort
      ratelimit replay policy.toml trace.ndjson --decisions out.ndjson --json
      ratelimit replay policy.toml june.log --history may.bin
      ratelimit replay policy.toml app.json --map time=ts,path=url,account=user.id
      zcat old/*.gz | ratelimit replay policy.toml - --reveal

    Each line of --decisions answers one readable line of the trace, in order (of several
    traces, or with --sort, in order of time):

    \b
      {"action": "allow" | the step that followed (on_refusal),
       "limit": name | null, "retry_after": seconds | null, "cluster": id | null}

    Those that passed after a wait also have "waited", in seconds. No challenge is passed here.

    Lines that cannot be read are counted, shown, and have no decision.
    """
    _check_output(decisions, "--decisions", policy, *traces)
    loaded = load(policy)
    if clusters is not None:
        _check_clusters(loaded, no_correlation)
        _check_output(clusters, "--clusters", policy, *traces)
    with ExitStack() as stack:
        write = None
        if decisions is not None:
            output = _open_output(decisions, "--decisions")
            stack.callback(output.flush if decisions == "-" else output.close)
            write = output.write
        replay = replay_of(
            loaded,
            write,
            seed=seed,
            correlates=not no_correlation,
            names_members=reveal and clusters is not None,
            history=history_of(loaded, history),
        )
        stack.callback(replay.close)
        started_ns = monotonic_ns()
        with reading():
            inputs = open_inputs(
                traces, loaded.compiled, fields=replay.fields, format=format_, mapping=mapping, sort=sort
            )
            for batch in shown(inputs, "replaying", quiet=no_progress or as_json or "-" in traces):
                replay.take(batch)
            replay.finish()
        elapsed_s = (monotonic_ns() - started_ns) / 1e9
        if clusters is not None:
            report: dict[str, Any] = {"clusters": [], "rebuilds": 0}
            if replay.actors is not None and replay.requests:
                report = clusters_report(replay.actors)
            with _open_output(clusters, "--clusters") as file:
                file.write(json.dumps(report, indent=1).encode() + b"\n")
        summary = Summary(replay, inputs, reveal=reveal)
        show_disorder(inputs)
        if as_json:
            # A person may still be watching standard error; a pipe gets the document alone.
            if decisions != "-":
                print_json(summary.as_json(policy))
            return
        console = err() if decisions == "-" else out()
        summary.print(console, policy)
        console.file.flush()
        if notes := summary.notes():
            note("")
            for line in notes:
                note(line)
        if elapsed_s > 0 and replay.requests:
            note(f"{replay.requests / elapsed_s:,.0f} requests a second")


def _check_output(output: str | None, option: str, *inputs: str) -> None:
    if output is None or output == "-" or not Path(output).exists():
        return
    if any(path != "-" and Path(path).exists() and Path(output).samefile(path) for path in inputs):
        raise Failure(f"{option} {output} would overwrite what is read", USAGE)


def _check_clusters(policy: Policy, no_correlation: bool) -> None:
    if no_correlation:
        raise Failure("--clusters and --no-correlation contradict each other", USAGE)
    if policy.compiled.correlation is None:
        raise Failure(
            "--clusters: the policy has no correlation", USAGE, hint="Write `[correlation]` into it."
        )


def _open_output(path: str, option: str) -> BinaryIO:
    if path == "-":
        return sys.stdout.buffer
    try:
        return Path(path).open("wb")
    except OSError as error:
        raise Failure(
            f"{path}: {error.strerror or error}", INPUT, hint=f"Give another path to {option}."
        ) from error


def clusters_report(actors: Actors) -> dict[str, Any]:
    """Return what is known of each actor at the end of the trace, the largest first.

    Members are hashes of principals, or their names as the trace gives them where those were kept.
    """
    rows = [_cluster(actors, each) for each in overviews_of(actors.correlator)]
    return {"clusters": rows, "rebuilds": actors.correlator.rebuilds}


def _cluster(actors: Actors, found: Overview) -> dict[str, Any]:
    identity, ns = found.identity, 10**9
    members = {verdict: [key for key, said in found.members if said == verdict] for verdict in Verdict}
    likely = [
        key for verdict, keys in members.items() if Verdict.NONE < verdict < found.verdict for key in keys
    ]
    return {
        "id": f"{identity:016x}",
        "verdict": verdict_word(found.verdict),
        "ruling": found.override,
        "why": found.why,
        "words": found.words,
        "first_seen": formatting.iso(found.first_s * ns),
        "young_until": formatting.iso(found.young_until_s * ns) if found.young_until_s else None,
        "admitted": actors.admitted[identity],
        "refused": actors.refused[identity],
        "would_refuse": actors.would_refuse[identity],
        "size": len(found.members),
        "evidence": found.evidence,
        "members": _names(members[found.verdict], actors.names),
        "likely_members": _names(likely, actors.names),
    }


def _names(keys: list[int], names: Mapping[int, str]) -> list[str]:
    return sorted(str(names.get(key, f"{key:016x}")) for key in keys)


class Summary:
    """The outcome of one replay, for people and for machines.

    Args:
        replay: what was decided.
        traces: what was read.
        reveal: whether identities are shown as given instead of as hashes.
    """

    def __init__(self, replay: Replay, traces: Traces, *, reveal: bool) -> None:
        self._replay = replay
        self._traces = traces
        self._reveal = reveal
        self._policy = replay.compiled
        self._facts = RecordFacts(replay.bound, replay.fields) if replay.first_ns is not None else None
        # A rule for each name: tiers of a limit are counted together.
        self._rules = list({rule.name: rule for rule in reversed(self._policy.rules)}.values())[::-1]
        self._evictions = 0
        if replay.store is not None:
            stats = replay.store.table.stats(replay.last_ns)
            self._evictions = stats["evictions"] + stats["block_evictions"]

    def print(self, console: Console, policy: str) -> None:
        """Write it for people."""
        replay, readers = self._replay, self._traces.readers
        rows: list[tuple[str, Any]] = []
        for reader in readers:
            more = f": {formatting.count(reader.requests, 'request')}" if len(readers) > 1 else ""
            rows.append(("" if rows else "trace", Text(f"{reader.source.name} ({reader.format}){more}")))
        rows.append(("policy", Text(policy)))
        if replay.first_ns is not None:
            rows.append(("time", span_of(replay)))
        refused = replay.refused
        outcome = Text(f"{replay.requests:,}: ")
        outcome.append(f"{replay.requests - refused:,} admitted", "green")
        outcome.append(", ")
        outcome.append(f"{refused:,} refused", "red" if refused else "")
        outcome.append(f" ({formatting.share(refused, replay.requests)})")
        rows.append(("requests", outcome))
        for (allowed, reason), number in sorted(replay.outcomes.items(), key=lambda item: -item[1]):
            if number and reason is not Reason.LIMITS:
                what = "admitted" if allowed else "refused"
                rows.append(("", f"{number:,} {what}: {_REASONS[reason.value]}"))
        for (limit, action), number in replay.acted.items():
            rows.append(("", f"{number:,} {BY_NAME[action].replayed} by “{limit}”"))
        if replay.ramps is not None:
            would = "would have been" if replay.ramps.is_shadow else "were"
            rows.append(("", f"{replay.held:,} {would} held, as their accounts rose steeply"))
        if (correlation := self._correlation()) is not None:
            rows.append(("correlation", _correlation_words(correlation)))
        console.print(head_of(*rows))
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
        # The address is in each trace.
        lacking = [
            spec.name for spec in self._policy.identities if spec.missing == "refuse" and not spec.is_address
        ]
        if lacking and replay.outcomes.get((False, Reason.IDENTITY)):
            where = " ".join(f"--map {name}=FIELD" for name in lacking)
            notes.append(f"is {' or '.join(lacking)} in the trace? Where it is called otherwise: {where}")
        if replay.requests and any(rule.algorithm in OF_SLOTS for rule in self._policy.rules):
            notes.append(
                "limits on requests at once never refuse here: a trace does not record how long requests took"
            )
        if self._evictions:
            evicted = formatting.count(self._evictions, "live counter")
            notes.append(f"{evicted} evicted for want of room: raise store.keys")
        return notes

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
            **times_json(replay),
            "correlation": self._correlation(),
            "history": None if replay.history is None else {"payers": replay.imported},
            "held": None if replay.ramps is None else replay.held,
            "limits": [self._limit_json(rule) for rule in self._rules],
            "evictions": self._evictions,
        }

    def _correlation(self) -> dict[str, Any] | None:
        """Return what actors there are at the end, and what they cost in requests; None without any."""
        replay = self._replay
        if replay.actors is None or replay.first_ns is None:
            return None
        return {
            "refused": sum(tally.refused for tally in replay.tallies.values() if tally.rule.is_clustered),
            "would_refuse": replay.actors.would_refuse.total(),
            **{
                verdict: {"clusters": clusters, "members": members}
                for verdict, (clusters, members) in sorted(tally_of(replay.actors.correlator).items())
            },
        }

    def _totals(self, name: str) -> Sequence[int]:
        store = self._replay.store
        return (0,) * 8 if store is None else store.table.totals(store.table.counter(name))

    def _likely_refused(self, rule: LimitRule) -> int:
        """Return how often a limit per actor would have refused likely actors."""
        if rule.verdict != "certain":
            return 0
        return self._totals(twin_counter(rule.name))[RuleColumn.REFUSED_IN_SHADOW]

    def _limits(self) -> Table:
        table = table_of("limit", "allows", ">applied to", ">refused", ">", ">would refuse")
        for rule in self._rules:
            totals = self._totals(rule.name)
            refused, shadow = totals[RuleColumn.REFUSED], totals[RuleColumn.REFUSED_IN_SHADOW]
            applied = totals[RuleColumn.ALLOWED] + refused + shadow
            if rule.following.admits and not rule.shadow:
                shadow = 0  # they passed, with less
            # What it would refuse likely clusters stands with what it would refuse in shadow.
            shadow += self._likely_refused(rule)
            table.add_row(
                Text(rule.name, "bold"),
                allowed_words(rule, self._policy),
                f"{applied:,}",
                Text(f"{refused:,}", "red" if refused else "dim"),
                Text(formatting.share(refused, applied) if refused else "", "dim"),
                Text(f"{shadow:,}" if shadow or formatting.mode(rule) != "enforce" else "", "yellow"),
            )
        return table

    def _most_refused(self) -> Table:
        whom = "whom" if self._reveal else "whom (--reveal shows them)"
        table = table_of("refused most by", whom, ">refused")
        for tally in self._replay.tallies.values():
            name = Text(tally.rule.name, "bold")
            for key, number in tally.keys.most_common(TOP):
                parts = [f"{formatting.as_said(said)} {who}" for said, who in self._parts(tally, key)]
                table.add_row(name, Text(", ".join(parts) or "everyone"), f"{number:,}")
                name = Text("")
            if tally.callers > TOP:
                table.add_row("", Text(f"and {tally.callers - TOP:,} others", "dim"), "")
        return table

    def _parts(self, tally: LimitTally, key: tuple[int, ...]) -> list[tuple[str, str]]:
        """Return the identities of one counter by name, each as a hash or as given."""
        parts, record = [], tally.shown[key]
        for position, hashed in zip(tally.rule.per, key, strict=True):
            spec = self._policy.identities[position]
            is_cluster = spec.name in (CLUSTER, YOUNG, LIKELY, ACTOR)
            shown = short_hash(cluster_of(hashed) if is_cluster else hashed)
            if self._reveal and self._facts is not None:
                if is_cluster:
                    shown = f"{shown} of {self._principal(record, self._facts)}"
                elif (value := given(spec, record, self._facts)) is not None:
                    shown = value
                else:
                    is_by_address = spec.missing == "client" and record.ip
                    shown = f"missing, counted by {record.ip}" if is_by_address else "missing"
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
            "likely_refused": self._likely_refused(rule),
            "decided_refusal": sum(tally.refused for tally in found),
            "keys_refused": sum(tally.callers for tally in found),
            "most_refused": [
                {"identities": dict(self._parts(tally, key)), "refused": number} for number, tally, key in top
            ],
        }


def _correlation_words(correlation: dict[str, Any]) -> Text:
    refused, would = correlation["refused"], correlation["would_refuse"]
    text = Text(f"{refused:,} refused by limits per actor", "red" if refused else "")
    if would:
        text.append(f", {would:,} of likely actors would be", "yellow")
    for verdict in ("certain", "likely"):
        counts = correlation[verdict]
        if counts["clusters"]:
            found = formatting.count(counts["clusters"], f"{verdict} actor")
            text.append(f"; {found} with {formatting.count(counts['members'], 'member')}", "not bold default")
    return text


def allowed_words(rule: LimitRule, policy: Any) -> str:
    """Return what a limit allows, and to whom."""
    per = formatting.as_said(formatting.per(rule, policy))
    return f"{formatting.rate_of(rule, policy)}, for {f'each {per}' if rule.per else per}"


def span_of(replay: Replay) -> str:
    """Return the time that a trace covers."""
    assert replay.first_ns is not None  # there are requests
    first, last = formatting.instant(replay.first_ns), formatting.instant(replay.last_ns)
    return f"{first} to {last} UTC ({formatting.wait(replay.last_ns - replay.first_ns)})"


def times_json(replay: Replay) -> dict[str, str | None]:
    """Return the same for machines."""
    first_ns = replay.first_ns
    return {
        "first_time": None if first_ns is None else formatting.iso(first_ns),
        "last_time": None if first_ns is None else formatting.iso(replay.last_ns),
    }
