"""A survey of an application's own routes, mounts and root paths, before the first request.

Theory of operation. The application behind a middleware is looked for from outside (what
the middleware wraps) and from the scope (a framework names itself there). Wrappers are
opened by what they hold. A framework is known by the module of its class and read by its
public table, without importing it. What is not known is passed over: it has no routes here.

All that is read is the application's own, and read once. A table that cannot be read, as
of another release of its framework, is as good as none: never is starting up at stake.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ratelimit.asgi.routes.tables import READERS, MountedApp, Served, Table, is_outermost
from ratelimit.policy.routing.target import Placement

MOST_OPENED = 256
"""Objects that are looked into; more are not between a middleware and its application."""
MOST_ROUTES = 10_000

_NAMED_IN_SCOPE = ("app", "litestar_app")


class Survey:
    """The routes of an application, and how it reads paths.

    Args:
        tables: what its frameworks say, outermost first; those below a mount with its prefix.
        leaves_rest: see `target.Placement`.
        placement: what the application says of itself in place of all that.
        is_outermost: whether the application runs no code before the limits that could set its state.
    """

    def __init__(
        self,
        tables: list[Table],
        *,
        leaves_rest: bool = False,
        placement: Placement | None = None,
        is_outermost: bool = False,
    ) -> None:
        self.is_outermost = is_outermost
        self.routes: tuple[Served, ...] = tuple(route for table in tables for route in table.routes)
        self.is_known = bool(tables) and len(self.routes) <= MOST_ROUTES
        """True if an application was found, and all of its routes are here."""
        self.ignores_case = any(table.ignores_case for table in tables)
        self.placement = placement or Placement(
            roots=(root for table in tables for root in table.roots),
            mounts=(mount for table in tables for mount in table.mounts),
            loose=(mount for table in tables for mount in table.loose),
            resets=any(table.roots for table in tables if table.prefix),
            keeps_empty=any(table.keeps_empty for table in tables),
            leaves_rest=leaves_rest,
        )


def survey(scope: Mapping[str, Any], app: object) -> Survey:
    """Return what the application of a scope says of itself; `app` is what the middleware wraps."""
    own = getattr(app, "placement", None)
    if isinstance(own, Placement):
        return Survey([], placement=own)
    named = [scope[key] for key in _NAMED_IN_SCOPE if key in scope]
    for start in (*named, app):
        tables = list(_tables(start))
        if tables:
            return Survey(tables, leaves_rest="litestar_app" in scope, is_outermost=is_outermost(start))
    return Survey([])


def _tables(start: object) -> Iterator[Table]:
    """Yield the tables of every framework from here on, mounted ones last."""
    waiting: list[MountedApp] = [MountedApp("", start)]
    seen: set[int] = set()
    count = 0
    while waiting:
        prefix, found, is_behind = waiting.pop(0)
        is_read = False
        for framework, app in _opened(found):
            if id(app) in seen or count > MOST_ROUTES:
                is_read = True
                continue
            seen.add(id(app))
            table = Table(prefix, is_behind=is_behind)
            try:
                READERS[framework](app, table)
            except Exception:  # another release's table; the log would say it at each start
                continue
            is_read = True
            count += len(table.routes)
            waiting += table.below
            yield table
        if found is not start and not is_read:
            # Files, an application of another framework: it may serve all below its prefix.
            yield Table(prefix, routes=[Served(None, f"{prefix}/", None, is_partial=True)])


def _opened(start: object) -> Iterator[tuple[str, Any]]:
    """Yield the nearest frameworks' applications that an object is, or holds."""
    waiting, seen = [start], {id(start)}
    while waiting and len(seen) <= MOST_OPENED:
        this = waiting.pop(0)
        framework = _framework_of(this)
        if framework is not None:
            yield framework, this
            continue
        for held in held_by(this):
            if id(held) not in seen and (callable(held) or _framework_of(held)):
                seen.add(id(held))
                waiting.append(held)


def _framework_of(this: object) -> str | None:
    if isinstance(this, type):
        return None
    for kind in type(this).__mro__:
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        if name in READERS:
            return name
    return None


def held_by(this: object) -> Iterator[object]:
    """Yield what a wrapper may call: a bound method's object, a closure's values, attributes."""
    if isinstance(this, partial):
        yield this.func
        yield from this.args
        return
    if inspect.ismethod(this):
        yield this.__self__
        this = this.__func__
    if inspect.isfunction(this):
        for cell in this.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                continue  # not filled yet
        wrapped = getattr(this, "__wrapped__", None)
        if wrapped is not None:
            yield wrapped
        return
    if not isinstance(this, type) and not inspect.isbuiltin(this):
        yield from _attributes(this)


def _attributes(this: object) -> Iterator[object]:
    values = getattr(this, "__dict__", None)
    if isinstance(values, dict):
        yield from values.values()
    for kind in type(this).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            value = getattr(this, name, None)
            if value is not None:
                yield value
