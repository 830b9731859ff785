"""The pages of actors: all by what they took, one with its evidence, and its members as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from starlette.responses import Response

from ratelimit.clustering.declarations import PAYMENT_KIND
from ratelimit.console.visit import Visit, actor_named, number, principal_of, rules_of, source_of, taken
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.actors_here import actors_here
from ratelimit.inspection.actors.glance import Glance, glance_at, in_order
from ratelimit.inspection.actors.saved import Actor, actors_of, is_held
from ratelimit.inspection.callers.declared import declared_words
from ratelimit.inspection.callers.knowledge import Knowledge, Left
from ratelimit.inspection.callers.profile import left_of_actor
from ratelimit.inspection.callers.takings import SPANS, time_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.hosts.moment import Moment, Refused
from ratelimit.policy.compile.identities import CLUSTER

_ID = re.compile(r"[0-9a-f]{16}")
PER_PAGE = 100
ACTORS_SHOWN = 50
SHARED_SHOWN = 40
"""Identifiers of each kind."""


@dataclass(frozen=True, slots=True)
class ActorRow:
    """One actor beside the others."""

    actor: Actor
    glance: Glance
    left: Sequence[Left] = ()
    took: Mapping[str, int] = field(default_factory=dict)
    """By the names of limits, the units that it took at least within the chosen time."""
    refused: int = 0
    """The refusals by limits per cluster, on all hosts within the last hour."""


def _actors_here(visit: Visit, known: Knowledge) -> Response:
    """The actors by which this host decides, while the server that has the others does not answer."""
    here = actors_here(known.deployment.policy)
    shown = here.actors[:ACTORS_SHOWN]
    return visit.page(
        "actors_here",
        rows=shown,
        heard_ns=here.heard_ns,
        more=len(here.actors) - len(shown),
        trouble=[here.outage.words],
    )


def actors(visit: Visit) -> Response:
    """The actors, by what they took within a chosen time."""
    by = visit.one("by", "verdict, then exits")
    with visit.observation.known() as known:
        if known.is_away:
            return _actors_here(visit, known)
        source = source_of(known)
        since, takings = taken(visit)
        took = {
            identity: {name: one.units for name, one in limits.items()}
            for identity, limits in takings.of_actors(known).items()
        }
        rules = rules_of(visit)
        names = [name for name in takings.limits if any(name in each for each in took.values())]
        trouble = ""
        refused: dict[int, int] = {}
        now = visit.observation.present()
        for one in _refusals(now):
            refused[cluster_of(one.hash)] = refused.get(cluster_of(one.hash), 0) + one.refused
        found = [
            ActorRow(
                each,
                glance_at(source, each.found, known.compiled.rules),
                took=took.get(each.found.identity, {}),
                refused=refused.get(each.found.identity, 0),
            )
            for each in actors_of(source, in_order(source.actors), None, known.refused)
        ]
        orders: dict[str, Callable[[ActorRow], float]] = {
            "verdict, then exits": lambda row: 0,
            "asked": lambda row: row.actor.requests,
            "a day": lambda row: row.actor.a_day or 0.0,
            "accounts": lambda row: len(row.actor.found.members),
            "refused": lambda row: row.refused,
            "found": lambda row: row.actor.found.first_s,
        }
        for name in names:
            orders[f"took of {name}"] = lambda row, name=name: row.took.get(name, 0)  # type: ignore[misc]
        found.sort(key=lambda row: -orders.get(by, orders["verdict, then exits"])(row))
        shown = []
        for row in found[:ACTORS_SHOWN]:
            left: Sequence[Left] = ()
            if not trouble:
                try:
                    left = left_of_actor(known, row.actor.found.identity)
                except InspectionFailure as failure:
                    trouble = str(failure)
            shown.append(replace(row, left=left))
        return visit.page(
            "actors",
            rows=shown,
            source=source,
            names=names,
            rules=rules,
            is_held=is_held,
            levels=list(dict.fromkeys(each.rule.name for row in shown for each in row.left)),
            by=by,
            orders=list(orders),
            since=since,
            spans=SPANS,
            when=time_words(takings),
            takings=takings,
            more=len(found) - len(shown),
            as_of_ns=source.correlator.now_ns,
            trouble=[trouble] if trouble else [],
        )


def _refusals(now: Moment) -> list[Refused]:
    """Return what limits per cluster refused within the last hour, on all hosts."""
    return [each for each in now.callers if each.per == CLUSTER and not each.in_shadow]


def actor(visit: Visit) -> Response:
    """One actor: what it took, the evidence, a drawing, its members and its neighbours."""
    with visit.observation.known() as known:
        try:
            found = actor_named(known, visit.one("id"))
        except InspectionFailure as failure:
            if failure.cause != "input" or not _ID.fullmatch(visit.one("id")):
                raise
            # A link of yesterday's, or one under what happened: that actor is gone.
            way = (visit.path("/changes", since="31d", of=visit.one("id")), "What happened to it")
            return visit.failure(404, str(failure), "It may have been one until lately.", way)
        source = source_of(known)
        profile = visit.observation.profile(source, found)
        trouble = []
        left: Sequence[Left] = ()
        try:
            left = left_of_actor(known, found.identity)
        except InspectionFailure as failure:
            trouble = [str(failure)]
        members = profile.members
        pages = max(1, -(-len(members) // PER_PAGE))
        at = min(max(1, number(visit.one("page", "1"))), pages)
        since, takings = taken(visit)
        now = visit.observation.present()
        took = takings.of_actors(known).get(found.identity, {})
        return visit.page(
            "actor",
            actor=found,
            source=source,
            glance=glance_at(source, found, known.compiled.rules),
            left=left,
            is_held=is_held,
            took=[took[name] for name in takings.rules if name in took],
            since=since,
            when=time_words(takings),
            refused=[each for each in _refusals(now) if cluster_of(each.hash) == found.identity],
            missing=now.missing,
            own_payments=[
                f"{each.hash:016x}"
                for each in profile.shared(SHARED_SHOWN)
                if each.kind == PAYMENT_KIND and each.members > 1
            ],
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
            drawing=visit.observation.drawing(profile, visit.base, principal_of(known)),
            acts=[
                each
                for each in known.acts
                if not profile.keys.isdisjoint(each.accounts)
                or not profile.values.isdisjoint([*each.payments, *each.networks])
            ],
            declared=declared_words(visit.observation.declared(known).of([*profile.keys, *profile.values])),
            identity=principal_of(known),
            as_of_ns=source.correlator.now_ns,
            trouble=trouble,
        )


def members(visit: Visit) -> Response:
    """All members of an actor as a table for other programs: hashes, no names."""
    with visit.observation.known() as known:
        found = actor_named(known, visit.one("id"))
        profile = visit.observation.profile(source_of(known), found)
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
