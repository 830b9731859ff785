"""Checks of limits against each other: matches that never happen, limits that never bind, too many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratelimit.policy.compile.compiled import CompiledPolicy, IdentitySpec
from ratelimit.policy.compile.compiler import Compilation, Draft
from ratelimit.policy.compile.identities import CLUSTER
from ratelimit.policy.routing.pattern import Pattern
from ratelimit.policy.routing.router import MOST_RULES
from ratelimit.policy.schema.problem import Report

METRICS = "/metrics"
"""The place where Prometheus looks unless it is told otherwise."""


def check(compilation: Compilation, tree: Mapping[str, Any], report: Report) -> None:
    """Note everything that only shows when a policy is looked at as a whole."""
    drafts, identities = compilation.drafts, compilation.identities
    acts = compilation.policy is not None and any(spec.looks_at_account for spec in compilation.policy.specs)
    if not drafts and not tree.get("limit") and not acts:
        report.add("policy-empty", ("limit",), "nothing is limited")
    _check_names(drafts, report)
    _check_parameters(drafts, identities, report)
    _check_binding(drafts, identities, report, correlated=compilation.correlation is not None)
    _check_looser(drafts, report)
    _check_unused(compilation, tree, report)
    if compilation.policy is not None:
        _check_young(compilation.policy, drafts, report)
        _check_known(compilation.policy, drafts, report)
        _check_routes(compilation.policy, drafts, report)
        _check_metrics(compilation.policy, drafts, report)


def _check_names(drafts: list[Draft], report: Report) -> None:
    seen: dict[str, Draft] = {}
    for draft in drafts:
        first = seen.setdefault(draft.limit.name, draft)
        if first is not draft:
            line = report.line_of((*first.path, "name"))
            where = "" if line is None else f" (line {line})"
            report.add(
                "limit-name-duplicate", (*draft.path, "name"), f"`{draft.limit.name}` is there twice{where}"
            )


def _check_young(policy: CompiledPolicy, drafts: list[Draft], report: Report) -> None:
    """Note limits for the certain that leave young clusters alone where no limit binds these."""
    certain = {draft.index for draft in drafts if draft.verdict == "certain"}
    young = {draft.index for draft in drafts if draft.verdict == "young"}
    bare: set[int] = set()
    for route in policy.router.every_route() if young else ():
        for applying in (route.on_request, route.on_connect, route.on_message):
            if young.isdisjoint(applying):
                bare.update(certain.intersection(applying))
    for draft in drafts:
        if draft.index in bare:
            report.add(
                "limit-young",
                (*draft.path, "match"),
                f"`{draft.limit.name}` does not bind young actors, and on a route of its no limit does",
                "Give the limit per `cluster:young` the same `match`.",
            )


def _used(draft: Draft) -> list[int]:
    """Return the identities a limit looks at."""
    return [at for at in (*draft.per, draft.member, draft.tier_identity) if at >= 0]


def _check_parameters(drafts: list[Draft], identities: tuple[IdentitySpec, ...], report: Report) -> None:
    for draft in drafts:
        for at in _used(draft):
            kinds = identities[at].sources
            # With another source to fall back on, a template without the parameter is fine.
            if not all(source.record.is_of_route for source in kinds):
                continue
            for source in kinds:
                for pattern in draft.matches:
                    if source.name not in dict(pattern.parameters):
                        report.add(
                            "path-parameter-unknown",
                            (*draft.path, "match"),
                            f"`{identities[at].name}` needs `{{{source.name}}}` in `{pattern.template}`",
                        )


def _check_binding(
    drafts: list[Draft], identities: tuple[IdentitySpec, ...], report: Report, *, correlated: bool
) -> None:
    for draft in drafts:
        if any(identities[at].name == CLUSTER for at in _used(draft)) and not correlated:
            report.add(
                "limit-never-binds",
                (*draft.path, "per"),
                "there is no correlation, so no request has an actor",
                'Write `[correlation]` with `principal = "…"`.',
            )
        if draft.limit.enforce == 0:
            report.add(
                "limit-never-binds",
                (*draft.path, "mode"),
                "it is enforced for no key",
                'Write `mode = "shadow"`.',
            )


def _check_looser(drafts: list[Draft], report: Report) -> None:
    """Compare limits that count the same requests of the same identities."""
    groups: dict[tuple[object, ...], list[Draft]] = {}
    for draft in drafts:
        limit = draft.limit
        if limit.mode == "shadow" or limit.enforce < 1 or limit.tiers or not draft.own:
            continue
        if not draft.matches:
            continue  # routes ask for it by name: which of them do is not known here
        shape = (
            frozenset((pattern.methods, pattern.segments, pattern.rest) for pattern in draft.matches),
            frozenset((pattern.methods, pattern.segments, pattern.rest) for pattern in draft.excepts),
            frozenset(draft.per),
            tuple(spec for spec in draft.specs if spec.covers or spec.is_left_over),
            draft.member,
            draft.verdict,
            limit.unit,
            limit.on,
            frozenset([limit.model] if isinstance(limit.model, str) else limit.model),
            limit.cost,
        )
        groups.setdefault(shape, []).append(draft)
    for group in groups.values():
        for position, draft in enumerate(group):
            for other in group:
                if other is not draft and _always_first(other, draft, group.index(other) < position):
                    break
            else:
                continue
            same = other.own == draft.own
            code = "limit-duplicate" if same else "limit-shadowed"
            words = "says the same as" if same else "never refuses before"
            report.add(code, (*draft.path, "rate"), f"`{draft.limit.name}` {words} `{other.limit.name}`")


def _always_first(strict: Draft, loose: Draft, stands_before: bool) -> bool:
    """Return whether whatever `loose` refuses, `strict` refuses too.

    Only limits of one algorithm and one period are compared: there it is certain.
    Of two equal limits the later one is the one too many.
    """
    if strict.own == loose.own:
        return stands_before
    for wide in loose.own:
        if not any(
            (narrow.algorithm, narrow.period_ns, narrow.calendar)
            == (wide.algorithm, wide.period_ns, wide.calendar)
            and narrow.quota <= wide.quota
            and narrow.burst <= wide.burst
            for narrow in strict.own
        ):
            return False
    return True


def _check_unused(compilation: Compilation, tree: Mapping[str, Any], report: Report) -> None:
    drafts, identities, correlation = compilation.drafts, compilation.identities, compilation.correlation
    policy = compilation.policy
    used = {identities[at].name for draft in drafts for at in _used(draft)}
    for key in ("allow", "deny"):
        table = tree.get(key)
        used.update(table if isinstance(table, dict) else ())
    if correlation is not None:
        used.update(identities[at].name for at in correlation.positions)
    if policy is not None:
        for each in policy.specs:
            used.update(identities[at].name for at in each.positions | each.positions_for(policy.rules))
    declared = tree.get("identities")
    for spec in identities:
        if isinstance(declared, dict) and spec.name in declared and spec.name not in used:
            report.add("identity-unused", ("identities", spec.name), f"no limit or list uses `{spec.name}`")


def _check_known(policy: CompiledPolicy, drafts: list[Draft], report: Report) -> None:
    """Note what goes by a parameter of the path, on routes where no limit names one."""
    templates = [pattern for draft in drafts for pattern in draft.matches]
    for spec in policy.specs:
        for path, name, patterns, positions in spec.deciding:
            for at in sorted(positions):
                identity = policy.identities[at]
                if not all(source.record.is_of_route for source in identity.sources):
                    continue
                names = {source.name for source in identity.sources}
                known = [one for one in templates if names & set(dict(one.parameters))]
                if patterns and all(any(_is_same(one, other) for other in known) for one in patterns):
                    continue
                others = [one.template for one in templates if one not in known]
                where = " and ".join(["routes that no limit matches", *(f"`{one}`" for one in others[:3])])
                report.add("class-unknown", path, f"{name} goes by `{identity.name}`, not known on {where}")


def _is_same(one: Pattern, other: Pattern) -> bool:
    methods = other.methods is None or (one.methods is not None and one.methods <= other.methods)
    return methods and (one.segments, one.rest) == (other.segments, other.rest)


def _check_routes(policy: CompiledPolicy, drafts: list[Draft], report: Report) -> None:
    reached: set[int] = set()
    crowded: tuple[int, str] = (0, "")
    conflicts: dict[tuple[str, str], int] = {}
    path_names = {
        source.name for spec in policy.identities for source in spec.sources if source.record.is_of_route
    }
    for route in policy.router.every_route():
        reached.update(route.limits)
        for group in (route.on_request, route.on_connect, route.on_message):
            weight = sum(drafts[at].weight for at in group)
            crowded = max(crowded, (weight, route.template))
    for name, template, limit in policy.router.conflicting_parameters():
        if name in path_names:
            conflicts.setdefault((name, template), limit)
    for position, draft in enumerate(drafts):
        if position not in reached and draft.matches:
            report.add(
                "limit-never-matches", (*draft.path, "match"), "`except` covers all requests of `match`"
            )
        elif (
            draft.matches
            and draft.limit.on != "request"
            and not any(pattern.methods is None or "GET" in pattern.methods for pattern in draft.matches)
        ):
            report.add(
                "limit-never-matches", (*draft.path, "match"), "WebSocket handshakes have the method `GET`"
            )
    if crowded[0] > MOST_RULES:
        report.add(
            "limit-too-many-rules", ("limit",), f"a request for `{crowded[1]}` falls under {crowded[0]} rules"
        )
    for (name, template), limit in conflicts.items():
        report.add(
            "path-parameter-ambiguous",
            (*drafts[limit].path, "match"),
            f"`{{{name}}}` of `{template}` stands elsewhere in another template that matches the same paths",
        )


def _check_metrics(policy: CompiledPolicy, drafts: list[Draft], report: Report) -> None:
    """Tell of limits for which Prometheus would need an identity that it does not have."""
    route = policy.router.match("GET", METRICS)
    if route is None or policy.allow.networks:
        return
    insisting: dict[str, list[str]] = {}
    for at in route.on_request:
        for position in _used(drafts[at]):
            spec = policy.identities[position]
            if spec.missing == "refuse" and not spec.is_address:
                insisting.setdefault(spec.name, []).append(f"`{drafts[at].limit.name}`")
    for name, limits in insisting.items():
        covering = f"{' and '.join(limits[:2])}{' and others' if len(limits) > 2 else ''}"
        report.add(
            "metrics-refused",
            ("identities", name, "missing"),
            f"{covering} cover{'s' if len(limits) == 1 else ''} `{METRICS}`, and a scrape has no `{name}`",
        )
