"""The pages: each looks, and fills in a template. They decide nothing: `inspection` does."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from ratelimit.clock import SystemClock
from ratelimit.console.chart import WIDTH, chart_of
from ratelimit.console.rendering import named
from ratelimit.console.visit import Visit
from ratelimit.correlation.overview import Overview
from ratelimit.errors import StoreError
from ratelimit.inspection import formatting, proposal
from ratelimit.inspection.acting import Deployment, HostState, confirmed, known_acts
from ratelimit.inspection.actors import Actor, actors_of
from ratelimit.inspection.changes import changes_of
from ratelimit.inspection.evidence import Source
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts import limits_by_trouble
from ratelimit.inspection.knowledge import Knowledge, Left
from ratelimit.inspection.naming import resolve
from ratelimit.inspection.person import person_of
from ratelimit.inspection.profile import kinds_of, left_of_actor
from ratelimit.inspection.proposal import Proposal
from ratelimit.inspection.week import begin_of, day_words, week_of
from ratelimit.policy.schema.problem import nearest
from ratelimit.stores.acts.act import Kind, in_force

PER_PAGE = 100
ACTORS_SHOWN = 50
CALLERS_SHOWN = 200
SHARED_SHOWN = 40
"""Identifiers of each kind."""
MOST_OF_WEEK = 4000
SHOWN_OF_KIND = 30
"""Events of each kind."""
SHORTLY_S = 1.0
"""How long a page waits for hosts to confirm an act; the act's own page shows what became of it."""


def now(visit: Visit) -> Response:
    """All hosts, the limits in trouble, the largest actors."""
    return visit.page("now", **_moment(visit, is_fresh=False))


def live(visit: Visit) -> str:
    """Return the part of the first page that changes while somebody looks."""
    return visit.text("live", **_moment(visit, is_fresh=True))


def _moment(visit: Visit, *, is_fresh: bool) -> dict[str, Any]:
    observation = visit.observation
    found, before = observation.fresh_moments() if is_fresh else observation.moments()
    trouble = [*found.trouble, *filter(None, [observation.policy()[2]])]
    actors: Sequence[Overview] = ()
    with suppress(InspectionFailure), observation.known() as known:
        actors = known.actors[:5]
    limits = limits_by_trouble(found, before)
    return {"moment": found, "limits": limits, "actors": actors, "trouble": trouble}


def limits(visit: Visit) -> Response:
    """All limits, those that refuse most now first, with their terms."""
    found, before = visit.observation.moments()
    _, policy, _ = visit.observation.policy()
    rules = {rule.name: rule for rule in reversed(policy.compiled.rules) if not rule.is_twin}
    rows = limits_by_trouble(found, before)
    return visit.page("limits", rows=rows, rules=rules, compiled=policy.compiled)


def limit(visit: Visit) -> Response:
    """One limit with the callers that it refuses, or would refuse."""
    name = visit.one("name")
    found, before = visit.observation.moments()
    _, policy, _ = visit.observation.policy()
    rules = [rule for rule in policy.compiled.rules if rule.name == name and not rule.is_twin]
    if not rules:
        names = [rule.name for rule in policy.compiled.rules]
        near = nearest(name, names)
        hint = f"Did you mean `{near}`?" if near else ""
        raise InspectionFailure(f"the policy has no limit `{name}`", "input", hint=hint)
    row = next((each for each in limits_by_trouble(found, before) if each.name == name), None)
    callers = [each for each in found.callers if each.limit == name]
    single = len(rules[0].per) == 1
    return visit.page(
        "limit",
        rules=rules,
        rule=rules[0],
        compiled=policy.compiled,
        covers=policy.compiled.file.limit[rules[0].limit].match,
        row=row,
        callers=callers[:CALLERS_SHOWN],
        more=max(0, len(callers) - CALLERS_SHOWN),
        identity=policy.compiled.identities[rules[0].per[0]].name if single else None,
        missing=found.missing,
    )


@dataclass(frozen=True, slots=True)
class ActorRow:
    """One actor beside the others."""

    actor: Actor
    a_day: float
    left: Sequence[Left]

    @property
    def refused(self) -> int:
        """The refusals by limits per cluster, on this host within the last hour."""
        return sum(each.refused for each in self.actor.refused)

    def taken(self, limit: str) -> float:
        """The part of a limit that it has used; -1 where the limit does not bind it."""
        for each in self.left:
            if each.rule.name == limit:
                return (each.rule.burst - each.remaining) / max(1, each.rule.burst)
        return -1.0


def actors(visit: Visit) -> Response:
    """The actors, by what they took."""
    by = visit.one("by", "requests")
    with visit.observation.known() as known:
        source = _source(known)
        trouble = ""
        found = []
        for each in actors_of(source, source.actors, None, known.refused):
            found.append(ActorRow(each, source.takings.get(each.found.identity, (0, 0.0))[1], ()))
        orders: dict[str, Callable[[ActorRow], float]] = {
            "requests": lambda row: row.actor.requests,
            "a day": lambda row: row.a_day,
            "accounts": lambda row: len(row.actor.found.members),
            "refused": lambda row: row.refused,
            "found": lambda row: row.actor.found.first_s,
        }
        found.sort(key=lambda row: -orders.get(by, orders["requests"])(row))
        shown = []
        for row in found[:ACTORS_SHOWN]:
            left: Sequence[Left] = ()
            if not trouble:
                try:
                    left = left_of_actor(known, row.actor.found.identity)
                except InspectionFailure as failure:
                    trouble = str(failure)
            shown.append(ActorRow(row.actor, row.a_day, left))
        if by.startswith("limit "):
            name = by.removeprefix("limit ")
            shown.sort(key=lambda row: -row.taken(name))
        names = list(dict.fromkeys(each.rule.name for row in shown for each in row.left))
        return visit.page(
            "actors",
            rows=shown,
            names=names,
            by=by,
            orders=[*orders, *(f"limit {name}" for name in names)],
            more=len(found) - len(shown),
            as_of_ns=source.correlator.now_ns,
            trouble=[trouble] if trouble else [],
        )


def actor(visit: Visit) -> Response:
    """One actor: what it took, the evidence, a drawing, its members and its neighbours."""
    with visit.observation.known() as known:
        found = _actor(known, visit.one("id"))
        source = _source(known)
        profile = visit.observation.profile(source, found)
        trouble = []
        left: Sequence[Left] = ()
        try:
            left = left_of_actor(known, found.identity)
        except InspectionFailure as failure:
            trouble = [str(failure)]
        members = profile.members
        pages = max(1, -(-len(members) // PER_PAGE))
        at = min(max(1, _number(visit.one("page", "1"))), pages)
        requests, a_day = source.takings.get(found.identity, (0, 0.0))
        return visit.page(
            "actor",
            actor=found,
            requests=requests,
            a_day=a_day,
            left=left,
            refused=known.refusals_of_actor(found.identity),
            shared=profile.shared(SHARED_SHOWN),
            shared_count=profile.shared_count,
            members=members[(at - 1) * PER_PAGE : at * PER_PAGE],
            first=(at - 1) * PER_PAGE,
            member_count=len(members),
            at=at,
            pages=pages,
            neighbours=profile.neighbours,
            neighbour_count=profile.neighbour_count,
            growth=profile.growth,
            drawing=visit.observation.drawing(profile),
            acts=[each for each in known.acts if not profile.keys.isdisjoint(each.accounts)],
            identity=_principal(known),
            as_of_ns=source.correlator.now_ns,
            trouble=trouble,
        )


def members(visit: Visit) -> Response:
    """All members of an actor as a table for other programs: hashes, no names."""
    with visit.observation.known() as known:
        found = _actor(known, visit.one("id"))
        profile = visit.observation.profile(_source(known), found)
        text = io.StringIO()
        out = csv.writer(text)
        out.writerow(["account", "verdict", "ruling", "requests", "first_seen", "last_seen"])
        for each in profile.members:
            first, last = formatting.iso(each.first_s * 10**9), formatting.iso(each.last_s * 10**9)
            out.writerow(
                [f"{each.key:016x}", each.verdict or "", each.override or "", each.requests, first, last]
            )
    name = f"actor-{found.identity:016x}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def find(visit: Visit) -> Response:
    """Look somebody up by a value or a hash; the address of what is found has hashes alone."""
    written = visit.one("who").strip()
    if not written:
        raise InspectionFailure("nobody is named", "call", hint="Write an account, an address or a hash.")
    with visit.observation.known() as known:
        caller = resolve(known, written)
        if caller.what == "actor":
            return visit.to("/actor", id=f"{caller.hash:016x}")
        return visit.to("/person", who=named(caller))


def person(visit: Visit) -> Response:
    """One caller: every limit that binds it, what refused it, its actor, acts on it."""
    with visit.observation.known() as known:
        names = visit.all("who")
        if not names:
            raise InspectionFailure("nobody is named", "call", hint="Write an account or a hash above.")
        callers = [resolve(known, each) for each in names[:8]]
        found = person_of(known, callers)
        trouble = [f"Limits cannot be looked at: {found.no_answer}"] if found.no_answer else []
        if found.missing:
            trouble.append(f"No answer from {', '.join(found.missing)}.")
        kinds = {} if found.explanation is None else kinds_of(known.compiled)
        return visit.page(
            "person",
            person=found,
            compiled=known.compiled,
            kinds=kinds,
            now_ns=SystemClock().now_ns() if known.source is None else known.source.correlator.now_ns,
            can_correlate=known.compiled.correlation is not None,
            trouble=trouble,
        )


def audit(visit: Visit) -> Response:
    """All acts, with those that ended."""
    with visit.observation.known() as known:
        there = known.deployment
        acts = known_acts(there)
        held = {each.label for each in in_force(acts, there.key, SystemClock().now_ns())}
        return visit.page("audit", acts=list(reversed(acts)), held=held, **_hosts(there))


def act(visit: Visit) -> Response:
    """One act, and which hosts apply it."""
    label = visit.one("act")
    with visit.observation.known() as known:
        there = known.deployment
        acts = known_acts(there)
        found = next((each for each in acts if each.label == label), None)
        if found is None:
            raise InspectionFailure(f"there is no act {label}", "input")
        held = {each.label for each in in_force(acts, there.key, SystemClock().now_ns())}
        return visit.page(
            "act", act=found, is_held=label in held, identity=_principal(known), **_hosts(there)
        )


def changes(visit: Visit) -> Response:
    """What changed on all hosts, the latest first; of one caller, actor or limit, if the address names it."""
    since, of = visit.one("since", "7d"), visit.all("of")[:8]
    begin_ns = SystemClock().now_ns() - proposal.span_ns(since)
    with visit.observation.known() as known:
        found = changes_of(known, begin_ns, of)
        return visit.page("changes", changes=found, since=since, of=of, trouble=found.trouble)


def week(visit: Visit) -> Response:
    """Seven days by the hour: what was allowed and refused, and what happened meanwhile."""
    now_ns = SystemClock().now_ns()
    hours = visit.observation.hours(begin_of(now_ns))
    with visit.observation.known() as known:
        happened = changes_of(known, begin_of(now_ns), most=MOST_OF_WEEK)
    found = week_of(hours, happened, now_ns)
    return visit.page(
        "week",
        week=found,
        chart=chart_of(found),
        width=WIDTH,
        changes=happened,
        shown=SHOWN_OF_KIND,
        day_words=day_words,
        trouble=found.trouble,
    )


# -- acts ----------------------------------------------------------------------------------------


def preview(visit: Visit) -> Response:
    """Show what an act would do, with a form that does it."""
    with visit.observation.known() as known:
        proposed = _proposed(visit, known)
        return _asking(visit, proposed)


def _digest(proposed: Sequence[Proposal]) -> str:
    return "-".join(each.digest for each in proposed)


def make(visit: Visit) -> Response:
    """Do an act, if it still is what its preview showed."""
    with visit.observation.acting, visit.observation.known() as known:
        proposed = _proposed(visit, known)
        if visit.one("agreed") != _digest(proposed):
            return _asking(visit, proposed, is_stale=True)
        for_ns = proposal.span_ns(visit.one("for", "1d"))
        reason = visit.one("reason").strip()
        for each in proposed:
            done = each.do(known.deployment, for_ns=for_ns, reason=reason, by=visit.visitor.name)
        confirmed(known.deployment, done, SHORTLY_S)
    return visit.to("/act", act=done.label)


def _asking(visit: Visit, proposed: Sequence[Proposal], *, is_stale: bool = False) -> Response:
    fields = [(name, value) for name in _FIELDS for value in visit.all(name) if value]
    return visit.page(
        "preview",
        status=409 if is_stale else 200,
        kind=proposed[0].kind,
        agreed=_digest(proposed),
        does=[said for each in proposed for said in each.preview.does],
        doubts=[said for each in proposed for said in each.preview.doubts],
        ends=all(each.ends for each in proposed),
        fields=fields,
        span=visit.one("for", "1d"),
        reason=visit.one("reason"),
        is_stale=is_stale,
    )


_FIELDS = ("kind", "who", "from", "name", "payment", "act", "numbers")
"""The fields of a form that say which act is meant."""


def _proposed(visit: Visit, known: Knowledge) -> list[Proposal]:
    word = visit.one("kind").removeprefix("budget ")
    if word not in proposal.BUDGETS:
        return [_one_proposed(visit, known)]
    written = [one.strip() for one in visit.one("numbers").replace("\n", ",").split(",") if one.strip()]
    found = proposal.budgets(known, word, visit.one("who"), written)
    if not found:
        raise InspectionFailure("no limit is named", "call", hint="Write LIMIT=NUMBER.")
    return found


def _one_proposed(visit: Visit, known: Knowledge) -> Proposal:
    kind = visit.one("kind")
    names = [one for each in visit.all("who") for one in each.split() if one]
    if kind == "undo":
        return proposal.undo(known, visit.one("act"))
    if kind == "organisation":
        payments = [one for each in visit.all("payment") for one in each.split() if one]
        return proposal.organisation(known, visit.one("name").strip(), payments, names)
    if kind in ("merge", "split", "confirm", "clear"):
        kinds: dict[str, Kind] = {
            "merge": "merge",
            "split": "split",
            "confirm": "confirm",
            "clear": "clear",
        }
        return proposal.of_accounts(known, kinds[kind], names)
    if kind not in ("exempt", "stop"):
        raise InspectionFailure("there is no such act", "call")
    if len(names) != 1:
        raise InspectionFailure(f"`{kind}` takes one caller", "call")
    if kind == "stop":
        return proposal.stop(known, names[0])
    return proposal.exempt(known, names[0], visit.one("from") or None)


# -- parts ---------------------------------------------------------------------------------------


def _source(known: Knowledge) -> Source:
    if known.source is None:
        if known.compiled.correlation is None:
            raise InspectionFailure("the policy has no correlation, so there are no actors", "input")
        raise InspectionFailure(known.trouble or "nothing is known of actors", "deployment")
    return known.source


def _actor(known: Knowledge, written: str) -> Overview:
    _source(known)
    caller = resolve(known, f"actor={written}")
    found = known.actor(caller.hash)
    if found is None:
        raise InspectionFailure(f"actor {written} is gone", "input")
    return found


def _principal(known: Knowledge) -> str:
    """Return the name of what accounts are of, to name one by its hash; empty for several."""
    spec = known.compiled.correlation
    return "" if spec is not None and len(spec.principal) > 1 else known.account or ""


def _hosts(there: Deployment) -> dict[str, Any]:
    states: Sequence[HostState]
    try:
        states, trouble = there.hosts(), []
    except StoreError:
        states = there.this_host()
        trouble = ["The server does not answer: these are the acts that this host knows."]
    return {"hosts": states, "trouble": trouble}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 8 else 1


LOOKING: Mapping[str, Callable[[Visit], Response]] = {
    "/": now,
    "/limits": limits,
    "/limit": limit,
    "/actors": actors,
    "/actor": actor,
    "/members.csv": members,
    "/person": person,
    "/audit": audit,
    "/act": act,
    "/changes": changes,
    "/week": week,
}
ACTING: Mapping[str, Callable[[Visit], Response]] = {"/find": find, "/preview": preview, "/acts": make}
