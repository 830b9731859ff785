"""The compiler: from the file's structs to a `CompiledPolicy`, with names resolved and routes built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, cast

from ratelimit.algorithms import PREPAID, SECOND_NS
from ratelimit.environment.spelling import did_you_mean
from ratelimit.facts.sources import written_kinds
from ratelimit.policy.compile.access import compile_list, compile_trust
from ratelimit.policy.compile.compiled import (
    REQUESTS,
    CompiledPolicy,
    CorrelationSpec,
    IdentitySpec,
    LimitRule,
    LimitSpec,
    OnRefusal,
)
from ratelimit.policy.compile.correlation import compile_correlation, fact_sources
from ratelimit.policy.compile.declarations import compile_known, compile_public
from ratelimit.policy.compile.expansion import Numbers, expand
from ratelimit.policy.compile.identities import (
    AMOUNTS,
    CLUSTER,
    HIDDEN,
    LIKELY,
    MOST_AMOUNTS,
    compile_identities,
    number_source,
)
from ratelimit.policy.compile.quota import MAX_COST, MAX_KEYS, largest_debt, largest_quota
from ratelimit.policy.compile.secret import compile_key
from ratelimit.policy.compile.spec import (
    RuleSpec,
    Scene,
    amount_sources,
    compile_file,
    compile_limit,
    leaves_out,
)
from ratelimit.policy.compile.store import compile_store
from ratelimit.policy.routing.automaton import TooManyStates
from ratelimit.policy.routing.pattern import (
    LONGEST_TEXT,
    OTHER_METHODS,
    STANDARD_METHODS,
    Pattern,
    PatternError,
    parse_pattern,
)
from ratelimit.policy.routing.route import PathReading
from ratelimit.policy.routing.router import Entry, Router
from ratelimit.policy.schema.events import check_events
from ratelimit.policy.schema.model import Certainty, Limit, PolicyFile, Stance, Tier
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.surroundings import Routing
from ratelimit.usage.compile import SHAPES, MeteringSpec, compile_metering
from ratelimit.usage.pricing import compile_prices
from ratelimit.usage.tables import compile_tables

MAX_LIMITS = 256
"""Limits, each rate of a limit counted as one."""
MAX_RULES = 4096
"""Rules with those of all tiers."""
MAX_TIERS = 64
MAX_PATTERNS = 64
MAX_ROOTS = 8
"""Patterns in one `match` or `except`."""


EXPOSURE_NS = 3600 * SECOND_NS
"""The time in which what a killed worker had in flight lapses, if that is all there may be. Few requests are
in flight for so long; they lapse by as much."""
_OWN_BUDGET = "would have the budget it likes"
_NUMBERED = re.compile("#[0-9]+$")


@dataclass(slots=True)
class Draft:
    """One limit on its way to being compiled."""

    index: int
    path: Path
    limit: Limit
    matches: tuple[Pattern, ...] = ()
    excepts: tuple[Pattern, ...] = ()
    per: tuple[int, ...] = ()
    member: int = -1
    tier_identity: int = -1
    own: list[Numbers] = field(default_factory=list)
    tiers: dict[str, list[Numbers]] = field(default_factory=dict)

    metering: MeteringSpec | None = None
    specs: tuple[RuleSpec, ...] = ()
    verdict: Certainty | None = None
    """Of a limit per cluster: the least verdict of those it binds."""

    @property
    def has_twin(self) -> bool:
        """True if each of its rules has a twin that says what it would of likely members."""
        return self.verdict == "certain"

    @property
    def has_exposure(self) -> bool:
        """True if beside each of its rules another one counts what is in flight."""
        return self.metering is not None and self.metering.exposure > 1

    @property
    def weight(self) -> int:
        """Most rules it brings to one request."""
        most = max(len(self.own), *(len(numbers) for numbers in self.tiers.values()), 0)
        has_lowered = any(step != "refuse" for step in self.limit.on_refusal[1:])
        return most * (1 + self.has_twin + has_lowered + self.has_exposure)


@dataclass(slots=True)
class Compilation:
    """A compiled policy, and the drafts that the checks across limits look at."""

    policy: CompiledPolicy | None
    drafts: list[Draft]
    identities: tuple[IdentitySpec, ...]
    correlation: CorrelationSpec | None


def compile_policy(file: PolicyFile, tree: Mapping[str, Any], name: str, report: Report) -> Compilation:
    """Return a policy made ready for deciding; with errors noted, no policy."""
    check_events(file.destinations, report)
    table = file.correlation
    principal = [table.principal] if isinstance(table.principal, str) else table.principal or []
    known = compile_known(table.known, max(1, len(principal)), name, report)
    public = compile_public(table, FilePath(name).parent, report)
    has_origin = table.principal is not None and (
        bool(public) or (known is not None and known.looks_at_addresses)
    )
    amounts = {
        index: source
        for index, (text, path) in amount_sources(file).items()
        if (source := number_source(text, path, "limit-budget", _OWN_BUDGET, report)) is not None
    }
    if len(amounts) > MOST_AMOUNTS:
        words = f"{len(amounts)} limits with a customer's own number; {MOST_AMOUNTS} are the most"
        report.add("policy-too-many", ("limit",), words)
    identities = compile_identities(
        file.identities,
        report,
        has_origin=has_origin,
        numbers=fact_sources(table, report) | dict(zip(AMOUNTS, amounts.values(), strict=False)),
        # Limits that do not bind a request count it by what none has.
        has_never=leaves_out(file),
        most_cached=file.tuning.answers,
    )
    positions = {spec.name: spec.index for spec in identities if spec.name not in HIDDEN}
    scene = Scene(
        file,
        positions,
        _patterns,
        lambda named, path, told: _position(named, positions, path, told),
        report,
        compile_tables(file.usage, SHAPES, report),
    )
    at_name = {spec.name: spec.index for spec in identities}
    scene.amounts = {index: at_name[name] for index, name in zip(amounts, AMOUNTS, strict=False)}
    drafts = [
        _draft(index, limit, scene) for index, limit in enumerate(file.limit) if isinstance(limit, Limit)
    ]
    _check_totals(drafts, report)
    trust = compile_trust(file.trust, report)
    allow = compile_list("allow", file.allow, identities, report)
    deny = compile_list("deny", file.deny, identities, report, allow)
    hash_key = compile_key(file.hashing, report)
    correlation = compile_correlation(table, identities, known, public, file.tuning, report)
    if correlation is not None and any(draft.verdict == "young" for draft in drafts):
        correlation = replace(correlation, tells_young=True)
    remote = compile_store(file, tree, report)
    specs = compile_file(scene)
    router = _build_router(drafts, file.routing, report)
    if router is None:
        return Compilation(None, drafts, identities, correlation)
    units = tuple(dict.fromkeys([REQUESTS, *(draft.limit.unit for draft in drafts)]))
    limits, rules = _number(drafts, identities, units)
    policy = CompiledPolicy(
        name,
        file,
        identities,
        units,
        limits,
        rules,
        router,
        allow,
        deny,
        trust,
        hash_key,
        correlation,
        remote,
        compile_prices(file.prices, report),
        specs,
    )
    return Compilation(policy, drafts, identities, correlation)


def _draft(index: int, limit: Limit, scene: Scene) -> Draft:
    positions, report = scene.positions, scene.report
    path: Path = ("limit", index)
    draft = Draft(index, path, limit)
    if not (limit.name.isascii() and limit.name.isprintable()):
        report.add("limit-name", (*path, "name"), f"{limit.name!r} has other than printable ASCII characters")
    elif _NUMBERED.search(limit.name):
        report.add("limit-name", (*path, "name"), "`#` and a number name the further rates of a limit")
    draft.matches = _patterns(limit.match, (*path, "match"), report)
    draft.excepts = _patterns(limit.except_, (*path, "except"), report)
    draft.per = _partition(limit, positions, path, report)
    if positions[CLUSTER] in draft.per:
        draft.verdict = limit.verdict or "certain"
    if limit.distinct is not None:
        draft.member = _position(limit.distinct, positions, (*path, "unit"), report)
        if draft.member in draft.per:
            report.add("limit-per", (*path, "unit"), f"each `{limit.distinct}` has only itself to count")
    if limit.tier is not None:
        if limit.tier not in positions and set(limit.tiers) <= set(Tier.__struct_fields__):
            hint = f"Write `tiers.IDENTITY.{limit.tier[:64]}`, with the identity that holds the plan."
            report.add("tier-incomplete", (*path, "tiers", limit.tier), "the identity is missing", hint)
        else:
            draft.tier_identity = _position(limit.tier, positions, (*path, "tiers", limit.tier), report)
    if len(limit.by_plan) > 1:
        report.add("tier-incomplete", (*path, "tiers"), "one identity holds the plan, and these are several")
    elif limit.tier is not None and not limit.tiers:
        report.add("tier-incomplete", (*path, "tiers", limit.tier), "there is no plan")
    if len(limit.tiers) > MAX_TIERS:
        report.add(
            "policy-too-many",
            (*path, "tiers", limit.tier or ""),
            f"{len(limit.tiers)} tiers; {MAX_TIERS} are the most",
        )
    draft.metering = compile_metering(
        limit, path, report, prices=scene.file.prices, tables=scene.usage_tables
    )
    draft.own, draft.tiers = expand(limit, path, scene.file.tuning.slot_kept_s, report)
    scene.numbers = draft.own
    draft.specs = compile_limit(scene, limit, path)
    return draft


def _patterns(texts: str | list[str], path: Path, report: Report) -> tuple[Pattern, ...]:
    listed = [texts] if isinstance(texts, str) else texts
    if len(listed) > MAX_PATTERNS:
        report.add("policy-too-many", path, f"{len(listed)} patterns; {MAX_PATTERNS} are the most")
    found = []
    for index, text in enumerate(listed[:MAX_PATTERNS]):
        place: Path = path if isinstance(texts, str) else (*path, index)
        try:
            pattern = parse_pattern(text)
        except PatternError as error:
            report.add("limit-match", place, str(error), error.hint)
            continue
        found.append(pattern)
        known = (*STANDARD_METHODS, *OTHER_METHODS)
        for method in sorted((pattern.methods or frozenset()).difference(known)):
            hint = did_you_mean(method, known)
            report.add("limit-method-unknown", place, f"`{method}` is no registered method of HTTP", hint)
    return tuple(found)


def _partition(limit: Limit, positions: Mapping[str, int], path: Path, report: Report) -> tuple[int, ...]:
    listed = isinstance(limit.per, list)
    names = limit.names
    if len(names) > MAX_KEYS:
        report.add("policy-too-many", (*path, "per"), f"{len(names)} identities; {MAX_KEYS} are the most")
    if len(set(names)) < len(names):
        report.add("limit-per", (*path, "per"), "`per` names an identity twice")
    found = []
    for index, name in enumerate(names):
        place: Path = (*path, "per", index) if listed else (*path, "per")
        position = _position(name, positions, place, report)
        if position >= 0:
            found.append(position)
    return tuple(found)


def _position(name: str, positions: Mapping[str, int], path: Path, report: Report) -> int:
    position = positions.get(name, -1)
    if position < 0:
        hint = did_you_mean(name, positions)
        if name in ("everyone", "all", "global", ""):
            hint = "For one counter for everyone write `per = []`."
        elif name.startswith("cluster:"):
            hint = "Write `cluster`, `cluster:likely` or `cluster:young`."
        elif name == "client" and "ip" in positions:
            hint = "Did you mean `ip`?"
        elif name.partition(":")[0] in written_kinds():
            hint = f'Write `NAME = {{ from = "{name[:64]}" }}` into `[identities]`, and `per = "NAME"`.'
        elif not hint and name.isidentifier():
            # A plan that a client wrote itself would be the dearest.
            of_plan = name == "plan" or not {"tiers", "when"}.isdisjoint(path)
            source = f"state:{name[:64]}" if of_plan else "header:x-api-key"
            hint = f'Declare it in `[identities]`, like `{name[:64]} = {{ from = "{source}" }}`.'
        report.add("identity-unknown", path, f"`{name[:64]}` is not declared", hint)
    return position


def _check_totals(drafts: list[Draft], report: Report) -> None:
    limits = sum(max(1, draft.weight) for draft in drafts)
    if limits > MAX_LIMITS:
        report.add(
            "policy-too-many", ("limit",), f"{limits} limits, counting each rate; {MAX_LIMITS} are the most"
        )
    rules = sum(
        (1 + draft.has_twin + draft.has_exposure) * (len(draft.own) + sum(map(len, draft.tiers.values())))
        for draft in drafts
    )
    if rules > MAX_RULES:
        report.add("policy-too-many", ("limit",), f"{rules} rules with all tiers; {MAX_RULES} are the most")


def _build_router(drafts: list[Draft], routing: Routing, report: Report) -> Router | None:
    roots = routing.root_paths
    if len(roots) > MAX_ROOTS:
        place = ("root_paths",)
        report.add("policy-too-many", place, f"{len(roots)} root paths; {MAX_ROOTS} are the most")
    for index, root in enumerate(roots):
        if not (root.startswith("/") and root.strip("/") and len(root) <= LONGEST_TEXT):
            report.add("routing-root", ("root_paths", index), f"`{root[:64]}` is no root path")
    spellings = None if routing.spellings is None else tuple(dict.fromkeys(routing.spellings))
    reading = PathReading(tuple(roots[:MAX_ROOTS]), spellings)
    entries = [Entry(draft.matches, draft.excepts, draft.limit.on, draft.weight) for draft in drafts]
    try:
        return Router(entries, case=routing.case, reading=reading)
    except TooManyStates:
        report.add("match-too-complex", ("limit",), "the patterns overlap in too many ways")
        return None


def _number(
    drafts: list[Draft], identities: tuple[IdentitySpec, ...], units: tuple[str, ...]
) -> tuple[tuple[LimitSpec, ...], tuple[LimitRule, ...]]:
    rules: list[LimitRule] = []
    limits: list[LimitSpec] = []
    for position, draft in enumerate(drafts):
        limit = draft.limit
        indices: dict[str | None, tuple[int, ...]] = {}
        for tier, numbers in [(None, draft.own), *draft.tiers.items()]:
            first = len(rules)
            for nth, one in enumerate(numbers, 1):
                for is_twin in (False, True) if draft.has_twin else (False,):
                    rules.append(
                        _rule(len(rules), position, draft, one, nth, tier, identities, units, is_twin)
                    )
                if draft.has_exposure:
                    rules.append(_exposure(len(rules), rules[-1]))
            indices[tier] = tuple(range(first, len(rules)))
        limits.append(
            LimitSpec(
                position,
                limit.name,
                tuple(pattern.template for pattern in draft.matches),
                draft.per,
                limit.unit,
                limit.on,
                limit.mode == "shadow",
                round(limit.enforce * 1_000_000),
                limit.on_store_error,
                indices[None],
                draft.tier_identity,
                {tier: indices[tier] for tier in draft.tiers},
                draft.specs,
            )
        )
    return tuple(limits), tuple(rules)


def _exposure(index: int, rule: LimitRule) -> LimitRule:
    """Return the rule beside a limit's that counts what requests in flight may use of it.

    It has room for the budgets beyond the first, as the limit itself bounds what was used to one. What is in
    flight is given back when it ends. What a killed worker had in flight lapses within an hour.
    """
    metering = rule.metering
    assert metering is not None
    room = max(1, round((metering.exposure - 1) * rule.burst))
    room = min(room, largest_quota("token-bucket", EXPOSURE_NS))  # of dollars more than three million
    return replace(
        rule,
        index=index,
        algorithm="token-bucket",
        quota=room,
        period_ns=EXPOSURE_NS,
        burst=room,
        calendar=None,
        unit=REQUESTS,
        unit_index=0,
        estimate=0,
        salt_parts=(*rule.salt_parts, b"exposure"),
        debt=0,
        is_exposure=True,
        specs=(),
    )


def _rule(
    index: int,
    position: int,
    draft: Draft,
    numbers: Numbers,
    nth: int,
    tier: str | None,
    identities: tuple[IdentitySpec, ...],
    units: tuple[str, ...],
    is_twin: bool,
) -> LimitRule:
    """Return one rule; `is_twin`: what it would say of likely members of a cluster."""
    limit = draft.limit
    name = limit.name if nth == 1 else f"{limit.name}#{nth}"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    taken = limit.cost
    untold = 1 if limit.unit == REQUESTS else 0
    member = identities[draft.member].name if draft.member >= 0 else ""
    windows = "" if numbers.calendar is None else f"{numbers.calendar.unit} {numbers.calendar.zone}"
    # Numbers of fixed order come first, names of any number last: no two shapes read alike.
    identity = (limit.name, numbers.algorithm, str(numbers.period_ns), windows, limit.unit, limit.on, member)
    # A limit per cluster keeps its counters when it binds other members; a twin has counters of its own.
    per = [LIKELY if is_twin and identities[at].name == CLUSTER else identities[at].name for at in draft.per]
    cluster = len(identities) - 1
    actor_at = -1
    if draft.verdict is not None:
        # Before it are the likely's own place, the one of both, and that of the young: see `CompiledPolicy`.
        places = {"certain": cluster, "likely": cluster - 2, "young": cluster - 3}
        actor_at = cluster - 1 if is_twin else places[draft.verdict]
    return LimitRule(
        index,
        position,
        name,
        f'"{quoted}"'.encode(),
        numbers.algorithm,
        numbers.quota,
        numbers.period_ns,
        numbers.burst,
        numbers.calendar,
        limit.unit,
        units.index(limit.unit),
        taken if isinstance(taken, int) else untold,
        limit.on,
        tuple(actor_at if at == cluster else at for at in draft.per),
        draft.member,
        limit.mode == "shadow" or is_twin,
        round(limit.enforce * 1_000_000),
        _stance(limit.on_store_error, numbers),
        numbers.lease_ns,
        draft.tier_identity,
        tier,
        tuple(part.encode() for part in (*identity, *per)),
        draft.verdict,
        is_twin,
        actor_at,
        draft.metering,
        cast(OnRefusal, tuple(limit.on_refusal)),  # as `expansion` checked
        _debt(draft, numbers),
        specs=draft.specs if tier is None else tuple(spec.of_tier() for spec in draft.specs),
    )


def _stance(written: Stance, numbers: Numbers) -> Stance:
    """Return what becomes of a rule while the store fails: a share of a lifetime would be a further one."""
    return "closed" if numbers.algorithm in PREPAID and written == "local" else written


def _debt(draft: Draft, numbers: Numbers) -> int | None:
    """Return the debt of a rule; None: as much again as its burst.

    With a bound on what is in flight nothing is forgiven: that bounds the debt, but for an answer that is
    larger than all of it. Nor is anything of a lifetime, in which no later window makes up for it.
    """
    if numbers.debt is not None or (
        numbers.algorithm not in PREPAID and (draft.metering is None or not draft.metering.exposure)
    ):
        return numbers.debt
    most = largest_debt(numbers.algorithm, numbers.period_ns, numbers.quota, numbers.burst)
    budgets = 1.0 if draft.metering is None else draft.metering.exposure
    return min(most, max(MAX_COST, round(budgets * numbers.burst)))
