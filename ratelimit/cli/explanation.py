"""Why a request is decided as it is: facts, identities, limits, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.cli import words
from ratelimit.cli.facts import RecordFacts, header_pairs
from ratelimit.cli.identity_names import given, short_hash
from ratelimit.decision import Decision, Verdict
from ratelimit.generation import Generation, Matched, needed_positions
from ratelimit.identity.cookies import find_cookie
from ratelimit.identity.fact import ABSENT, REFUSED
from ratelimit.policy.compiled import IdentitySpec, LimitRule
from ratelimit.policy.identities import NEW
from ratelimit.policy.model import Event
from ratelimit.policy.pattern import parse_pattern
from ratelimit.traces import Fields


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity: what it is here, and how it came about."""

    name: str
    hash: str
    given: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What limits are matched with."""

    method: str
    path: str
    event: Event


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One rule: its verdict, or why it has none."""

    rule: LimitRule
    key: str
    verdict: Verdict | None
    why_not: str


def identity_lines(generation: Generation, fields: Fields, record: Any, row: list[int]) -> list[IdentityLine]:
    """Return a line for each identity of the policy."""
    facts = RecordFacts(generation, fields)
    needed = needed_positions(generation.compiled)
    lines = []
    for spec in generation.compiled.identities:
        if spec.sources[0].kind == "origin":  # the correlator's own
            continue
        if spec.index not in needed:
            if spec.sources[0].kind != "cluster":  # that one is always there, used or not
                lines.append(IdentityLine(spec.name, "–", None, "no limit or list uses it"))
            continue
        hashed = row[spec.index]
        shown = given(spec, record, facts)
        source = _source(spec, record, fields, facts, hashed)
        lines.append(IdentityLine(spec.name, short_hash(hashed), shown, source))
    return lines


def limit_lines(
    generation: Generation, matched: Matched, row: list[int], decision: Decision, seen: Seen
) -> list[LimitLine]:
    """Return a line for each rule that applies, and one for each limit that does not."""
    compiled = generation.compiled
    plan = matched.plan_for(row)
    rules = () if plan is None else plan.rules
    verdicts = {verdict.limit: verdict for verdict in decision.verdicts}
    lines = []
    for limit in compiled.limits:
        applying = [rule for rule in rules if rule.limit == limit.index]
        if not applying:
            rule = compiled.rules[limit.rules[0]] if limit.rules else compiled.rules[0]
            lines.append(LimitLine(rule, "", None, _why_no_match(generation, limit.index, seen)))
        for rule in applying:
            verdict = verdicts.get(rule.name)
            why_not = ""
            if verdict is None:
                absent = [
                    compiled.identities[at].name
                    for at in (*rule.per, rule.member)
                    if at >= 0 and row[at] == ABSENT
                ]
                why_not = f"skipped: {', '.join(absent)} absent" if absent else "not asked"
            lines.append(LimitLine(rule, _key(generation, rule, row), verdict, why_not))
    return lines


def _key(generation: Generation, rule: LimitRule, row: list[int]) -> str:
    specs = [generation.compiled.identities[at] for at in rule.per]
    names = [f"{spec.name}:{short_hash(row[spec.index])}" for spec in specs if spec.name != NEW]
    return " + ".join(names) or "everyone"


def _why_no_match(generation: Generation, limit: int, seen: Seen) -> str:
    method, path = seen.method, seen.path
    written = generation.compiled.file.limit[limit]
    if written.on != seen.event and not (written.on == "request" and seen.event == "connect"):
        return f"counts {_COUNTED[written.on]} only"
    methods: set[str] = set()
    for text in words.patterns(written.match):
        pattern = parse_pattern(text)
        others = pattern.methods or frozenset((method,))
        for other in others:
            route = generation.compiled.router.match(other, path)
            if route is not None and limit in route.limits:
                methods.add(other)
    if method in methods:
        return "the tier has no limit"
    if methods:
        return f"only for {', '.join(sorted(methods))}"
    excepted = words.patterns(written.except_)
    return f"only for {words.matches(written.match)}" + (f" except {', '.join(excepted)}" if excepted else "")


_COUNTED = {
    "request": "requests and handshakes",
    "connect": "WebSocket handshakes",
    "message": "WebSocket messages",
}


def _source(spec: IdentitySpec, record: Any, fields: Fields, facts: RecordFacts, hashed: int) -> str:
    """Return where an identity's value was found, or what its absence means."""
    if hashed == REFUSED:
        return f"missing from {_sources(spec)}: refused where a limit needs it"
    if spec.name == NEW:
        is_old = "the account is established, or nothing says how old it is: limits for new ones do not apply"
        return (
            is_old
            if hashed == ABSENT
            else "the account is new; here nothing is known of who else pays for it"
        )
    if hashed == ABSENT:
        return f"missing from {_sources(spec)}: limits per {spec.name} do not apply"
    if spec.name in facts.values(record) and not (spec.name == "ip" and spec.sources[0].kind == "client"):
        return "given by name"
    pairs = header_pairs(record, fields)
    for source in spec.sources:
        if source.kind == "client" and record.ip is not None:
            prefix = (
                f" cut to /{spec.v4_prefix} or /{spec.v6_prefix}"
                if spec.v4_prefix < 32 or spec.v6_prefix < 64
                else ""
            )
            return f"the client's address{prefix}"
        if source.kind == "header" and any(
            name == source.name.encode("latin-1") and value for name, value in pairs
        ):
            return f"header {source.name}"
        if source.kind == "cookie":
            lines = [value for name, value in pairs if name == b"cookie"]
            if lines and find_cookie(lines, source.name.encode()):
                return f"cookie {source.name}"
        if source.kind == "path" and hashed not in (ABSENT, REFUSED):
            return f"path segment {{{source.name}}}"
    stand_in = (
        "one counter shared by all without" if spec.missing == "shared" else "the client's address stands in"
    )
    return f"missing from {_sources(spec)}: {stand_in}"


def _sources(spec: IdentitySpec) -> str:
    return " and ".join(f"{source.kind} {source.name}".strip() for source in spec.sources)
