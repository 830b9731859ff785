"""Counters of an application with a limiter: each one becomes one limit."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from ratelimit.cli.importing.draft import LimitDraft, Place, PolicyDraft, identity_name
from ratelimit.cli.importing.limiters import LimiterMade
from ratelimit.cli.importing.modules import Function, Module
from ratelimit.cli.importing.routes import Route, Routes, Template, patterns_of_all
from ratelimit.policy.schema.rate import Rate


@dataclass(slots=True)
class DecoratorLimit:
    """One limit that a decorator puts on a function: a rate, and what counts by it."""

    place: Place
    rate: Rate
    per: list[str]
    scope: str | None
    methods: frozenset[str] | None
    per_method: bool
    cost: int


@dataclass(slots=True)
class Counter:
    """Requests that count together."""

    place: Place
    name: str
    asked: DecoratorLimit
    per: list[str]
    algorithm: str
    routes: list[tuple[Template, frozenset[str]]] = field(default_factory=list)
    excepted: list[str] = field(default_factory=list)


class Counters:
    """Sorts limits of functions by what counts together.

    Args:
        draft: takes the limits, and what is not understood.
        routes: the application's.
    """

    def __init__(self, draft: PolicyDraft, routes: Routes) -> None:
        self._draft = draft
        self._routes = routes
        self._counters: dict[tuple[object, ...], Counter] = {}

    def add_limits(self) -> None:
        """Add a limit for each counter to the draft."""
        for counter in self._counters.values():
            match, excepted = patterns_of_all(counter.routes)
            self._draft.add(
                LimitDraft(
                    counter.place,
                    counter.name,
                    counter.per,
                    str(counter.asked.rate),
                    match,
                    list(dict.fromkeys([*excepted, *counter.excepted])),
                    algorithm=counter.algorithm,
                    cost=counter.asked.cost,
                )
            )
        self._look_at_overlaps()

    def add_default(
        self, place: Place, rate: Rate, per: Sequence[str], routes: Sequence[Route], limiter: LimiterMade
    ) -> None:
        """Add a limit that each of some routes counts by itself."""
        for route in routes:
            by_path = self._parameters(route.module, route) if limiter.counts_paths else []
            match, excepted = patterns_of_all([(route.template, route.methods)])
            name = f"default {route.function.name}"
            self._draft.add(
                LimitDraft(
                    place, name, [*per, *by_path], str(rate), match, excepted, algorithm=limiter.algorithm
                )
            )

    def _lose(self, module: Module, node: ast.expr, why: str, instead: str = "") -> None:
        self._draft.lose(module.place(node), ast.unparse(node), why, instead)

    def count(
        self,
        module: Module,
        function: Function,
        routes: Sequence[Route],
        asked: DecoratorLimit,
        limiter: LimiterMade,
    ) -> None:
        """Count a limit of a function, for each of its routes."""
        for route in routes:
            allowed = route.methods if asked.methods is None else route.methods & asked.methods
            if not allowed:
                why = f"it means none of the methods of {function.name}."
                self._draft.lose(asked.place, str(asked.rate), why)
                continue
            excepted = self._rivals(route, allowed)
            if not route.template.is_plain and (asked.scope is not None or not limiter.counts_paths):
                why = (
                    "paths that its converter refuses are 404 there, uncounted, and here they count "
                    "together with the others."
                )
                self._lose(module, route.decorator, why)
            for methods in [frozenset({each}) for each in sorted(allowed)] if asked.per_method else [allowed]:
                by_method = tuple(sorted(methods)) if asked.per_method else ()
                per, key = list(asked.per), self._key(module, function, route, asked, limiter)
                if asked.scope is None and limiter.counts_paths:
                    per = list(dict.fromkeys([*per, *self._parameters(module, route)]))
                counted = (key, by_method, asked.rate, tuple(per))
                name = function.name if asked.scope is None else asked.scope
                counter = self._counters.setdefault(
                    counted, Counter(asked.place, name, asked, per, limiter.algorithm)
                )
                if counter.asked.cost != asked.cost:
                    why = (
                        f"it counts with {counter.place} there, which has another cost, and a limit has one."
                    )
                    self._draft.lose(asked.place, f"cost={asked.cost}", why)
                counter.routes.append((route.template, methods))
                counter.excepted += excepted

    def _key(
        self, module: Module, function: Function, route: Route, asked: DecoratorLimit, limiter: LimiterMade
    ) -> tuple[object, ...]:
        if asked.scope is not None:
            return ("shared", asked.scope)
        if limiter.counts_paths:
            return ("path", str(route.template))
        if limiter.kind == "flask_limiter":
            return ("endpoint", route.owner, function.name)
        return ("endpoint", module.path, function.name)

    def _parameters(self, module: Module, route: Route) -> list[str]:
        """Return the identities by which the paths of one route count apart."""
        if route.template.rest:
            why = "each path below counts by itself there, and here all of them together."
            self._lose(module, route.decorator, why)
        return [
            self._draft.identity(identity_name(name), f"path:{name}") for name, _ in route.template.parameters
        ]

    def _rivals(self, route: Route, methods: frozenset[str]) -> list[str]:
        """Return what other routes answer of a route's paths."""
        found = []
        for other, is_taken in self._routes.rivals(route, methods):
            if is_taken is None:
                why = f"{other.template} of {other.function.name} answers some of its requests, or all."
                self._lose(route.module, route.decorator, why, "Write `except` for the limit.")
            elif is_taken:
                found.append(f"{'|'.join(sorted(other.methods & methods))} {other.template}")
        return found

    def _look_at_overlaps(self) -> None:
        """Say which limits count together there where two paths of theirs are the same."""
        counted = [
            (key, counter)
            for key, counter in self._counters.items()
            if isinstance(key[0], tuple) and key[0][0] == "path"
        ]
        for at, (key, counter) in enumerate(counted):
            for other_key, other in counted[:at]:
                is_like = key[1:3] == other_key[1:3] and set(counter.asked.per) == set(other.asked.per)
                if is_like and counter.routes[0][0].meets(other.routes[0][0]):
                    why = f"its paths may be those of {other.place}, and then both count together there."
                    self._draft.lose(counter.place, counter.name, why)
