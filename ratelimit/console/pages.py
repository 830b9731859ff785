"""The pages: each looks, and fills in a template. They decide nothing: `inspection` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from ratelimit.clock import SystemClock
from ratelimit.console.actor_pages import actor, actors, members
from ratelimit.console.rendering import WIDTH, chart_of
from ratelimit.console.visit import Visit, hosts_of, principal_of, taken
from ratelimit.correlation.overview import Overview
from ratelimit.deciding.denials import DENY_LIST
from ratelimit.environment.spelling import nearest
from ratelimit.inspection.actors.glance import in_order
from ratelimit.inspection.acts.acting import known_acts
from ratelimit.inspection.acts.held import known_log
from ratelimit.inspection.acts.words import ends_of
from ratelimit.inspection.callers.absence import absence_words
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.meeting import is_infrastructure, meetings_of, payments_of
from ratelimit.inspection.callers.naming import payment_identity, resolve
from ratelimit.inspection.callers.person import Person, person_of, ruled_of
from ratelimit.inspection.callers.profile import kinds_of
from ratelimit.inspection.callers.takings import SPANS, time_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.history.changes import changes_of
from ratelimit.inspection.history.week import DAYS, begin_of, day_words, week_of
from ratelimit.inspection.hosts.moment import Moment, Refused, limits_by_trouble, over_hosts, uncounted
from ratelimit.inspection.hosts.raising import MOST_TIMES, TIMES, Raising, raised_of
from ratelimit.inspection.proposals import proposal
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.acts.act import in_force

CALLERS_SHOWN = 200
TAKERS_SHOWN = 5
"""Of each limit, on the page of all limits; of one alone, `CALLERS_SHOWN`."""
MOST_NAMES = 8
"""Of one caller."""
MOST_METHODS = 4
"""Payment methods of one caller whose neighbours are looked for."""
MOST_OF_WEEK = 4000
SHOWN_OF_KIND = 30
"""Events of each kind."""


def now(visit: Visit) -> Response:
    """All hosts, the limits in trouble, the largest actors."""
    return visit.page("now", **_moment(visit, is_fresh=False))


def live(visit: Visit) -> str:
    """Return the part of the first page that changes while somebody looks."""
    return visit.text("live", **_moment(visit, is_fresh=True))


def _moment(visit: Visit, *, is_fresh: bool) -> dict[str, Any]:
    observation = visit.observation
    found, before = observation.fresh_moments() if is_fresh else observation.moments()
    trouble = [*_uncovered(found), *filter(None, [observation.policy()[2]])]
    actors: Sequence[Overview] = ()
    source, rules = None, observation.policy()[1].compiled.rules
    with suppress(InspectionFailure), observation.known() as known:
        actors, source = in_order(known.actors)[:5], known.source
    limits = limits_by_trouble(found, before)
    return {
        "moment": found,
        "limits": limits,
        "actors": actors,
        "source": source,
        "rules": rules,
        "trouble": trouble,
        "is_whole": _is_whole(found),
    }


def limits(visit: Visit) -> Response:
    """All limits, those that refused most in the last minute first, with their terms."""
    found, before = visit.observation.moments()
    _, policy, _ = visit.observation.policy()
    rules = {rule.name: rule for rule in reversed(policy.compiled.rules) if not rule.is_twin}
    rows = limits_by_trouble(found, before)
    trouble = _uncovered(found)
    return visit.page(
        "limits",
        rows=rows,
        rules=rules,
        compiled=policy.compiled,
        trouble=trouble,
        is_whole=_is_whole(found),
    )


def _is_whole(moment: Moment) -> bool:
    """Return whether the counts are those of all hosts."""
    return not (moment.missing or moment.gone or moment.is_away)


def _uncovered(moment: Moment) -> list[str]:
    """Return what counts of all hosts lack, each in a sentence."""
    found = [*moment.trouble]
    if moment.unheard and not moment.is_away:
        found.append(
            f"No answer from {'; '.join(moment.unheard)}: what it counts is not among these numbers."
        )
    return [*found, *filter(None, [uncounted(moment.gone)])]


def limit(visit: Visit) -> Response:
    """One limit with the callers that it refuses, or would refuse."""
    name = visit.one("name")
    found, before = visit.observation.moments()
    _, policy, _ = visit.observation.policy()
    rules = [rule for rule in policy.compiled.rules if rule.name == name and not rule.is_twin]
    if not rules and name == DENY_LIST:
        callers = over_hosts(each for each in found.callers if each.limit == name)
        shown, more = callers[:CALLERS_SHOWN], max(0, len(callers) - CALLERS_SHOWN)
        return visit.page("denied", callers=shown, more=more, trouble=_uncovered(found))
    if not rules:
        names = [rule.name for rule in policy.compiled.rules]
        near = nearest(name, names)
        hint = f"Did you mean `{near}`?" if near else ""
        raise InspectionFailure(f"the policy has no limit `{name}`", "input", hint=hint)
    row = next((each for each in limits_by_trouble(found, before) if each.name == name), None)
    callers = over_hosts(each for each in found.callers if each.limit == name)
    since, takings = taken(visit)
    times = _times(visit)
    is_whole = _is_whole(found)
    return visit.page(
        "limit",
        times=times,
        most_times=MOST_TIMES,
        raising=_raising(visit, over_hosts(found.callers), times, name) if is_whole else None,
        rules=rules,
        rule=rules[0],
        compiled=policy.compiled,
        covers=policy.compiled.file.limit[rules[0].limit].match,
        row=row,
        callers=callers[:CALLERS_SHOWN],
        more=max(0, len(callers) - CALLERS_SHOWN),
        identity=identity_of(rules[0], policy.compiled),
        took=takings.limits.get(name, ())[:CALLERS_SHOWN],
        takings=takings,
        since=since,
        spans=SPANS,
        when=time_words(takings),
        trouble=_uncovered(found),
    )


def _times(visit: Visit) -> float:
    """Return how many times its numbers a limit is looked at with."""
    written = visit.one("times", f"{TIMES:g}")
    with suppress(ValueError):
        if 1 < (times := float(written)) <= MOST_TIMES:
            return times
    raise InspectionFailure(
        f"`{written}` is not so many times", "call", hint=f"Write a number above 1, up to {MOST_TIMES:,}."
    )


def _raising(visit: Visit, refused: Sequence[Refused], times: float, name: str) -> Raising:
    """Return what a limit at other numbers would have done with what it refused."""
    policy, whole, _ = visit.observation.policy()
    return raised_of(whole.compiled, refused, known_log(policy), times, name)


def identity_of(rule: LimitRule, compiled: CompiledPolicy) -> str | None:
    """Return the identity that a limit counts by, to name a caller; None where it is none or several."""
    return compiled.identities[rule.per[0]].name if len(rule.per) == 1 else None


def took(visit: Visit) -> Response:
    """The callers that took most of each limit within a chosen time."""
    name = visit.one("limit")
    since, takings = taken(visit)
    _, whole, _ = visit.observation.policy()
    units = list(dict.fromkeys(callers[0].rule.unit for callers in takings.limits.values()))
    unit = visit.one("unit")
    shown = {
        one: callers
        for one, callers in takings.limits.items()
        if name in ("", one) and unit in ("", callers[0].rule.unit)
    }
    return visit.page(
        "took",
        takings=takings,
        limits=shown,
        most=CALLERS_SHOWN if name else TAKERS_SHOWN,
        only=name,
        units=units,
        unit=unit,
        identities={one: identity_of(callers[0].rule, whole.compiled) for one, callers in shown.items()},
        compiled=whole.compiled,
        since=since,
        spans=SPANS,
        when=time_words(takings),
    )


def person(visit: Visit) -> Response:
    """One caller: every limit that binds it, what refused it, its actor, acts on it."""
    with visit.observation.known() as known:
        names = visit.all("who")
        if not names:
            raise InspectionFailure("nobody is named", "call", hint="Write an account or a hash above.")
        callers = [resolve(known, each) for each in names[:MOST_NAMES]]
        found = person_of(known, callers)
        kinds = {} if found.explanation is None else kinds_of(known.compiled)
        since, takings = taken(visit)
        hashes = [hashed for each in callers for hashed in each.hashes]
        payments = [each.hash for each in callers if each.identity == _payment_name(known)] or payments_of(
            known, [each.hash for each in callers if each.what == "account"]
        )
        met = [one for each in payments[:MOST_METHODS] for one in meetings_of(known, each)]
        return visit.page(
            "person",
            meetings=met,
            noted=[f"{one:016x}" for one in hashes],
            least=0 if known.compiled.correlation is None else known.compiled.correlation.settings.methods,
            payment=_payment_name(known),
            declared=visit.observation.declared(known).of_person(known, found),
            infrastructure=is_infrastructure(known, hashes, found.accounts),
            person=found,
            ruled=ruled_of(known, found),
            compiled=known.compiled,
            kinds=kinds,
            own=takings.of(hashes, actor=found.actor),
            since=since,
            when=time_words(takings),
            principal=principal_of(known),
            now_ns=SystemClock().now_ns() if known.source is None else known.source.correlator.now_ns,
            can_correlate=known.compiled.correlation is not None,
            at_ns=SystemClock().now_ns(),
            doubts=_doubts(known, found),
        )


def _payment_name(known: Knowledge) -> str:
    """Return the identity that payment methods are of; empty without one."""
    try:
        return payment_identity(known)
    except InspectionFailure:
        return ""


def live_person(visit: Visit) -> str:
    """Return the part of a caller's page that changes while somebody looks."""
    with visit.observation.known() as known:
        found = person_of(known, [resolve(known, each) for each in visit.all("who")[:MOST_NAMES]])
        return visit.text(
            "person_live",
            person=found,
            compiled=known.compiled,
            at_ns=SystemClock().now_ns(),
            doubts=_doubts(known, found),
        )


def _doubts(known: Knowledge, person: Person) -> list[str]:
    """Return what is not known of a caller's limits and refusals, each in a sentence."""
    found: list[str] = []
    if person.no_answer:
        found = [words for _, words in absence_words(known, person.stand_in, person.no_answer)]
    if person.missing:
        found.append(f"No answer from {', '.join(person.missing)}.")
    if person.gone:
        found.append(f"Not in these counts: {', '.join(person.gone)}.")
    return found


LIVE: Mapping[str, Callable[[Visit], str]] = {"now": live, "person": live_person}
"""The live parts of pages, by the name in their address."""


def audit(visit: Visit) -> Response:
    """All acts, with those that ended."""
    with visit.observation.known() as known:
        there = known.deployment
        acts = known_acts(there)
        held = {each.label for each in in_force(acts, there.key, SystemClock().now_ns())}
        ends = ends_of(acts, held)
        return visit.page("audit", acts=list(reversed(acts)), held=held, ends=ends, **hosts_of(there))


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
            "act",
            act=found,
            is_held=label in held,
            end=ends_of(acts, held).get(label, "over"),
            identity=principal_of(known),
            **hosts_of(there),
        )


def changes(visit: Visit) -> Response:
    """What changed on all hosts, the latest first; of one caller, actor or limit, if the address names it."""
    since, of = visit.one("since", "7d"), visit.all("of")[:8]
    begin_ns = SystemClock().now_ns() - proposal.span_ns(since)
    with visit.observation.known() as known:
        found = changes_of(known, begin_ns, of)
        noted = [each for each in of if re.fullmatch("[0-9a-f]{16}", each)]
        return visit.page("changes", changes=found, since=since, of=of, noted=noted, trouble=found.trouble)


def week(visit: Visit) -> Response:
    """Seven days by the hour, or fewer: what was allowed and refused, and what happened meanwhile."""
    now_ns = SystemClock().now_ns()
    days = next((each for each in DAYS if f"{each}d" == visit.one("since", "7d")), DAYS[-1])
    begin_ns = begin_of(now_ns, days)
    hours = visit.observation.hours(begin_of(now_ns))
    with visit.observation.known() as known:
        happened = changes_of(known, begin_ns, most=MOST_OF_WEEK)
    _, takings = taken(visit)
    _, whole, _ = visit.observation.policy()
    found = week_of(hours, happened, now_ns, days)
    return visit.page(
        "week",
        week=found,
        days=days,
        chart=chart_of(found),
        width=WIDTH,
        changes=happened,
        shown=SHOWN_OF_KIND,
        day_words=day_words,
        takings=takings,
        most=TAKERS_SHOWN,
        pages={DENY_LIST, *(rule.name for rule in whole.compiled.rules)},
        identities={name: identity_of(each[0].rule, whole.compiled) for name, each in takings.limits.items()},
        when=time_words(takings),
        since=f"{days}d",
        trouble=found.trouble,
    )


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
    "/took": took,
}
