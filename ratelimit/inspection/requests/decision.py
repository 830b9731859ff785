"""The explanation of one request's decision: facts, identities, limits, verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.budgets.stage import asked_by
from ratelimit.core.request.grammar import MALFORMED_VALUE
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.extraction import needed_positions
from ratelimit.decision import Decision, Reason, Verdict
from ratelimit.facts.numbers import NumberFact
from ratelimit.identity.fact import ABSENT, MALFORMED, REFUSED
from ratelimit.inspection import formatting
from ratelimit.inspection.identities import given, short_hash
from ratelimit.lab.records import Fields, RecordFacts
from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec, LimitRule
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.policy.routing.pattern import parse_pattern
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity: what it is here, and how it came about."""

    name: str
    hash: str
    given: str | None
    source: str
    is_untold: bool = False
    """True if the application alone says it, and nothing here does."""


@dataclass(frozen=True, slots=True)
class MatchFacts:
    """The facts that limits are matched with."""

    method: str
    target: str | Target
    event: Event


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One rule: its verdict, or why it has none."""

    rule: LimitRule
    key: str
    verdict: Verdict | None
    why_not: str


def identity_lines(
    bound: BoundPolicy,
    matched: Matched,
    fields: Fields,
    record: Any,
    row: list[int],
    found_in: str | None = None,
    *,
    is_asked: bool = False,
) -> list[IdentityLine]:
    """Return a line for each identity of the policy.

    Args:
        found_in: where its cluster was looked up; None when it was not.
        is_asked: whether limits are asked for by name, so that theirs are used, too.
    """
    facts = RecordFacts(bound, fields)
    needed = needed_positions(bound.compiled, is_asked=is_asked)
    places = range(bound.compiled.young, bound.compiled.cluster + 1)
    facts_of, numbers = bound.compiled.facts, bound.compiled.numbers
    lines = []
    for spec in bound.compiled.identities:
        if spec.sources[0].record.author == "library":
            # An actor has four places, used or not; others of these are not shown.
            if spec.name == CLUSTER and not needed.isdisjoint(places):
                lines.append(_actor_line(bound.compiled, row, found_in))
            continue
        if spec.index in facts_of:
            lines.append(_number_line(facts_of[spec.index], spec, row[spec.index]))
            continue
        if spec.index in numbers:
            continue  # a customer's own, which the limit's own line says
        if spec.index not in needed:
            lines.append(IdentityLine(spec.name, "–", None, "no limit or list uses it"))
            continue
        hashed = row[spec.index]
        shown = given(spec, record, facts)
        source = _source(bound.compiled, spec, record, matched, facts, hashed)
        is_untold = shown is None and any(one.record.author == "application" for one in spec.sources)
        lines.append(IdentityLine(spec.name, short_hash(hashed), shown, source, is_untold))
    return lines


def decisive(
    bound: BoundPolicy, matched: Matched, row: list[int], decision: Decision, lines: list[IdentityLine]
) -> list[str]:
    """Return the identities without which it cannot be said what becomes of a request.

    Those are of what the application alone says. A refusal that holds whoever asks needs none of them.
    """
    compiled = bound.compiled
    untold = {line.name for line in lines if line.is_untold}
    plan = matched.plan_for(row)
    rules = () if plan is None else plan.rules
    if not decision.allowed and decision.limit is not None:
        rules = tuple(rule for rule in rules if rule.name == decision.limit)
    used = {at for rule in rules for at in (*rule.per, rule.member)}
    used |= {compiled.limits[rule.limit].tier_identity for rule in rules}
    listed = {*compiled.file.allow, *compiled.file.deny}
    if decision.reason in (Reason.ALLOW_LIST, Reason.DENY_LIST):
        return []
    names = [spec.name for spec in compiled.identities if spec.index in used or spec.name in listed]
    return [name for name in names if name in untold]


def _actor_line(compiled: CompiledPolicy, row: list[int], found_in: str | None) -> IdentityLine:
    actor = row[compiled.actor]
    if actor == ABSENT:
        told = "--trace, --snapshot or --live would say" if found_in is None else f"none, says {found_in}"
        return IdentityLine(CLUSTER, short_hash(actor), None, f"{told}: limits per actor do not apply")
    verdict = "certain" if row[compiled.likely] == ABSENT else "likely"
    return IdentityLine(CLUSTER, short_hash(actor), verdict, f"{verdict} member, says {found_in}")


def _number_line(fact: NumberFact, spec: IdentitySpec, number: int) -> IdentityLine:
    sources = _sources(spec)
    if number == ABSENT:
        return IdentityLine(fact.member, "absent", None, f"missing from {sources}: {fact.unknown}")
    shown = formatting.number(number, fact.form)
    return IdentityLine(fact.member, "–", shown, fact.known.format(number=shown, sources=sources))


def limit_lines(
    bound: BoundPolicy, matched: Matched, row: list[int], decision: Decision, seen: MatchFacts
) -> list[LimitLine]:
    """Return a line for each rule that applies, and one for each limit that does not."""
    compiled = bound.compiled
    plan = matched.plan_for(row)
    rules = () if plan is None else asked_by(plan, row, bound.from_ns).rules
    verdicts = {verdict.limit: verdict for verdict in decision.verdicts}
    lines = []
    for limit in compiled.limits:
        applying = [rule for rule in rules if rule.limit == limit.index and not rule.is_exposure]
        if not applying:
            rule = compiled.rules[limit.rules[0]] if limit.rules else compiled.rules[0]
            lines.append(
                LimitLine(rule, "", None, _why_no_match(bound, limit.index, seen, crowded=matched.is_crowded))
            )
        for rule in applying:
            # Of a limit and its twin that of the two which looks at this actor.
            is_likely = row[compiled.likely] != ABSENT
            if rule.verdict == "certain" and rule.is_twin != is_likely:
                continue
            verdict = verdicts.get(rule.name)
            why_not = ""
            if verdict is None:
                absent = [
                    formatting.as_said(formatting.identity(at, compiled))
                    for at in (*rule.per, rule.member)
                    if at >= 0 and row[at] == ABSENT
                ]
                why_not = f"skipped: {', '.join(absent)} absent" if absent else "not asked"
                if rule.is_clustered and row[compiled.actor] != ABSENT:
                    is_young = row[compiled.young] != ABSENT
                    why_not = "skipped: its actor is young" if is_young else "skipped: its actor is not young"
            lines.append(LimitLine(rule, _key(bound, rule, row), verdict, why_not))
    return lines


def _key(bound: BoundPolicy, rule: LimitRule, row: list[int]) -> str:
    compiled = bound.compiled
    names = [f"{formatting.identity(at, compiled)}:{short_hash(row[at])}" for at in rule.per]
    return " + ".join(names) or "everyone"


def _why_no_match(bound: BoundPolicy, limit: int, seen: MatchFacts, *, crowded: bool) -> str:
    method, target = seen.method, seen.target
    written = bound.compiled.file.limit[limit]
    if written.on != seen.event and not (written.on == "request" and seen.event == "connect"):
        return f"counts {_COUNTED[written.on]} only"
    methods: set[str] = set()
    for text in formatting.patterns(written.match):
        pattern = parse_pattern(text)
        others = pattern.methods or frozenset((method,))
        for other in others:
            route = bound.compiled.router.match(other, target)
            if route is not None and limit in route.limits:
                methods.add(other)
    if method in methods:
        return "too many at once" if crowded else "the tier has no limit"
    if methods:
        return f"only for {', '.join(sorted(methods))}"
    excepted = formatting.patterns(written.except_)
    return f"only for {formatting.matches(written.match)}" + (
        f" except {', '.join(excepted)}" if excepted else ""
    )


_COUNTED = {
    "request": "requests and handshakes",
    "connect": "WebSocket handshakes",
    "message": "WebSocket messages",
}


def _source(
    compiled: CompiledPolicy,
    spec: IdentitySpec,
    record: Any,
    matched: Matched,
    facts: RecordFacts,
    hashed: int,
) -> str:
    """Return where an identity's value was found, or what its absence means."""
    if hashed == MALFORMED:
        return f"malformed in {_sources(spec)}: refused, as it cannot be compared with the deny list"
    if hashed == REFUSED and _is_malformed(spec, record, matched, facts):
        return f"malformed in {_sources(spec)}: refused where a limit needs it"
    if hashed == REFUSED:
        return f"missing from {_sources(spec)}: refused where a limit needs it"
    if hashed == ABSENT:
        return f"missing from {_sources(spec)}: {_of_absence(compiled, spec)}"
    if spec.name in facts.values(record) and not (spec.name == "ip" and spec.is_address):
        return "given by name"
    for source in spec.sources:
        found = facts.found(source, record, matched) if source.record.author == "client" else None
        if source.record.is_address and record.ip is not None:
            prefix = (
                f" cut to /{spec.v4_prefix} or /{spec.v6_prefix}"
                if spec.v4_prefix < 32 or spec.v6_prefix < 64
                else ""
            )
            return f"the client's address{prefix}"
        if found:
            return source.record.shown(source.name)
        if found == MALFORMED_VALUE:
            return f"malformed in {source.kind} {source.name}: {_stand_in(spec)}"
    return f"missing from {_sources(spec)}: {_stand_in(spec)}"


def _of_absence(compiled: CompiledPolicy, spec: IdentitySpec) -> str:
    """Return what becomes of limits that use an identity which a request does not have."""
    is_counted = any(spec.index in (*rule.per, rule.member) for rule in compiled.rules if not rule.is_beside)
    picks_tiers = any(limit.tier_identity == spec.index for limit in compiled.limits)
    said = [
        f"limits per {spec.name} do not apply" if is_counted else "",
        "limits with tiers allow their own rate" if picks_tiers else "",
    ]
    return " and ".join(filter(None, said)) or "no list or evidence has it"


def _is_malformed(spec: IdentitySpec, record: Any, matched: Matched, facts: RecordFacts) -> bool:
    """Return whether the first source that says something says nothing usable."""
    written = [source for source in spec.sources if source.record.author == "client"]
    answers = [facts.found(source, record, matched) for source in written]
    return next((answer for answer in answers if answer is not None), None) == MALFORMED_VALUE


def _stand_in(spec: IdentitySpec) -> str:
    return (
        "one counter shared by all without" if spec.missing == "shared" else "the client's address stands in"
    )


def _sources(spec: IdentitySpec) -> str:
    return " and ".join(f"{source.kind} {source.name}".strip() for source in spec.sources)
