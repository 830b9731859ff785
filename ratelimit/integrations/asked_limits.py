"""The limits of one limiter that routes ask for by name: the policy's, and those written in code.

Theory of operation. They are compiled into a policy of their own, with the identities, lists and
correlation of the one in force, and bound to the same store. So they cost no request that does not ask
for them: the middleware's fast path looks only at identities that limits by path need. What is written
in code joins when it is first asked for. A reload makes all of them anew from the new file; counters
carry over as everywhere, since they belong to what a limit counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from ratelimit.asgi.routes.coverage import state_needed
from ratelimit.asgi.routes.tables import Entered
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.extraction import positions_of
from ratelimit.deciding.matched import Matched
from ratelimit.environment.spelling import did_you_mean
from ratelimit.errors import UsageError
from ratelimit.integrations.requirement import Wish, is_rate
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule, LimitSpec
from ratelimit.policy.compile.compiler import compile_policy
from ratelimit.policy.schema.binder import bind
from ratelimit.policy.schema.model import Identity, Limit, PolicyFile
from ratelimit.policy.schema.problem import Report
from ratelimit.runtime import limits_in_code
from ratelimit.runtime.limits_in_code import KEY, ROUTE

if TYPE_CHECKING:
    from ratelimit.limiter import Limiter

_KEY = Identity(f"path:{KEY}")
_ROUTE = Identity(f"path:{ROUTE}", missing="shared")
_MOST_DECLARED = 128
_MOST_ROUTES = 4096


class AskedLimits:
    """The limits that routes may ask of one limiter.

    Args:
        limiter: its store counts.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._lock = Lock()
        self._names: frozenset[str] = frozenset()
        self._declared: dict[str, Mapping[str, Any]] = {}
        self._policy: Policy | None = None
        self._compiled: CompiledPolicy | None = None
        self.under: BoundPolicy | None = None
        """The policy in force that these limits were bound under."""
        self.generation: BoundPolicy | None = None
        """The policy that has them; None until a route asks."""
        self._needs: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}
        self._needs_of: CompiledPolicy | None = None
        self._found: dict[Wish, tuple[LimitSpec, ...]] = {}
        self._met: set[tuple[str, str]] = set()
        self._matched: tuple[BoundPolicy | None, dict[tuple[Wish, str], Matched | None]] = (None, {})

    @property
    def compiled(self) -> CompiledPolicy | None:
        """The limits that routes ask for, compiled; None until one is registered or asked."""
        return self._compiled

    @property
    def rules(self) -> Sequence[LimitRule]:
        """The rules of limits that are written in code, as far as this worker was asked for them."""
        compiled, names = self._compiled, self._declared
        return () if compiled is None else [rule for rule in compiled.rules if rule.name in names]

    def find(self, wish: Wish, now_ns: int) -> tuple[BoundPolicy, tuple[LimitSpec, ...]]:
        """Return the limits that a route asks for, and the policy that has them.

        Raises:
            UsageError: the policy has no such limit (code `limit-unknown`), or one that is written in code
                does not fit it (code `limit-declared`).
        """
        under = self._limiter.runtime.generation_at(now_ns)
        generation, found = self.generation, self._found.get(wish)
        if (
            generation is None
            or found is None
            or self.under is not under
            or not generation.is_current(now_ns)
        ):
            with self._lock:
                generation = self._join([wish], under, now_ns)
                found = self._found[wish] = _picked(wish, generation.compiled)
        return generation, found

    def enter(self, wishes: Sequence[Wish]) -> list[Entered]:
        """Register what routes ask for, before one of them is asked; return what each is in the policy.

        Raises:
            UsageError: as `find`.
        """
        now_ns = self._limiter.now_ns()
        under = self._limiter.runtime.generation_at(now_ns)
        with self._lock:
            compiled = self._join(wishes, under, now_ns).compiled
        self._keep()
        found = []
        for wish in wishes:
            limits = _picked(wish, compiled)
            counted = {compiled.identities[at].name for limit in limits for at in limit.per}
            names = tuple(limit.name for limit in limits)
            found.append(Entered(names, self.needs(limits), frozenset(counted)))
        return found

    def _keep(self) -> None:
        """Let the commands on this host know what is declared here."""
        path = self._limiter.runtime.file.path
        if path is not None and self._limiter.store.place is not None:
            limits_in_code.keep(str(path), list(self._declared.values()))

    def needs(self, limits: tuple[LimitSpec, ...]) -> tuple[tuple[str, str], ...]:
        """Return limit and field of each field of the state that has to be set before these are asked."""
        compiled = self._compiled
        assert compiled is not None  # it has these limits
        if self._needs_of is not compiled:
            self._needs_of, self._needs = compiled, {}
        names = tuple(limit.name for limit in limits)
        found = self._needs.get(names)
        if found is None:
            found = tuple((limit.name, name) for limit in limits for name in state_needed(limit, compiled))
            self._needs[names] = found
        return found

    def matched(
        self, generation: BoundPolicy, limits: tuple[LimitSpec, ...], wish: Wish, route: str
    ) -> Matched | None:
        """Return what a route asks for, the same for each of its requests; None where their paths have a say.

        Args:
            generation, limits: what `find` returned for this wish.
        """
        known, matched = self._matched
        if known is not generation or len(matched) >= _MOST_ROUTES:
            matched = {}
            self._matched = generation, matched
        key = wish, route
        if key not in matched:
            is_fixed = wish.key is None and not _reads_paths(generation.compiled, limits)
            matched[key] = matched_with(generation, limits, route, {}) if is_fixed else None
        return matched[key]

    def meet(self, limits: tuple[LimitSpec, ...], route: str) -> None:
        """Let the commands on this host know of a route that asks, if a limit counts it by itself."""
        path, compiled = self._limiter.runtime.file.path, self._compiled
        if path is None or compiled is None or self._limiter.store.place is None:
            return
        for limit in limits:
            if (limit.name, route) in self._met or len(self._met) >= _MOST_ROUTES:
                continue
            self._met.add((limit.name, route))
            if any(compiled.identities[position].name == ROUTE for position in limit.per):
                limits_in_code.keep_route(str(path), limit.name, _digest_of(route), route)

    def _join(self, wishes: Sequence[Wish], under: BoundPolicy, now_ns: int) -> BoundPolicy:
        """Return the policy in force with what these wishes add to it."""
        policy = self._limiter.policy
        names, declared = self._names, dict(self._declared)
        for wish in wishes:
            if wish.table is None:
                names = names.union(wish.names)
            else:
                _declare(declared, wish.names[0], wish.table)
        compiled = self._compiled
        if (
            compiled is None
            or self._policy is not policy
            or (names, declared) != (self._names, self._declared)
        ):
            compiled = self._compile(policy, names, declared)
            self._compiled, self._policy, self._names, self._declared = compiled, policy, names, declared
            self.generation = None
        if self.generation is None or self.under is not under or not self.generation.is_current(now_ns):
            self.generation = self._limiter.runtime.bind(
                compiled, now_ns, self._limiter.clustering, is_asked=True
            )
            self.under, self._found = under, {}
        return self.generation

    def _compile(
        self, policy: Policy, names: frozenset[str], declared: Mapping[str, Mapping[str, Any]]
    ) -> CompiledPolicy:
        """Return the limits of these names compiled; of a reload that lacks some, those there were."""
        try:
            return _compiled(policy.file, names, declared)
        except UsageError:
            known = self._compiled
            if known is None or self._policy is policy or (names, declared) != (self._names, self._declared):
                raise
            # A route must not begin to fail because of an edit: it goes on with the limits it had.
            self._limiter.runtime.diagnose("limit-asked-gone")
            return known


def _declare(declared: dict[str, Mapping[str, Any]], name: str, table: Mapping[str, Any]) -> None:
    """Add a limit that is written in code.

    Raises:
        UsageError: another one has its name, or they are too many (code `limit-declared`).
    """
    if declared.setdefault(name, table) != table:
        raise UsageError(
            f"two routes declare the limit {name!r} with different settings; give each a name",
            code="limit-declared",
        )
    if len(declared) > _MOST_DECLARED:
        raise UsageError(f"more than {_MOST_DECLARED} limits are written in code", code="limit-declared")


def with_limits_in_code(policy: Policy) -> Policy:
    """Return a policy with the limits that its workers' code declares, as far as this host knows them."""
    tables = [] if policy.path is None else limits_in_code.kept(policy.path)
    own = {limit.name for limit in policy.file.limit}
    report = Report("a limit in code")
    places = enumerate(tables, len(policy.file.limit))
    limits = [bind(Limit, table, report, ("limit", at)) for at, table in places]
    limits = [limit for limit in limits if isinstance(limit, Limit) and limit.name not in own]
    if not limits or report.has_errors:
        return policy
    identities = {**policy.file.identities, ROUTE: _ROUTE, KEY: _KEY}
    file = msgspec.structs.replace(policy.file, limit=[*policy.file.limit, *limits], identities=identities)
    compiled = compile_policy(file, {}, policy.name, report).policy
    if report.has_errors or compiled is None:
        return policy  # the file was edited since, and they fit it no more
    return Policy(policy.name, policy.path, file, compiled, policy.warnings, policy.text)


def _compiled(
    file: PolicyFile, names: frozenset[str], declared: Mapping[str, Mapping[str, Any]]
) -> CompiledPolicy:
    report = Report("a limit in code")
    own = [bind(Limit, dict(table), report, ("limit", at)) for at, table in enumerate(declared.values())]
    # A path of theirs is the middleware's to look at.
    theirs = [
        msgspec.structs.replace(limit, match=[], except_=[]) for limit in file.limit if limit.name in names
    ]
    for name in sorted(names.difference(limit.name for limit in theirs)):
        there_are = [limit.name for limit in file.limit]
        hint = f"A rate is `limit({name!r})`." if is_rate(name) else did_you_mean(name, there_are)
        hint = hint or f"It has {', '.join(there_are[:16])}."
        raise UsageError(
            f"limits({name!r}): the policy has no limit of this name. {hint}", code="limit-unknown"
        )
    for limit in own:
        if any(limit.name == other.name for other in file.limit):
            raise UsageError(
                f"limit(name={limit.name!r}): the policy has a limit of this name; ask for it by "
                f"limits({limit.name!r})",
                code="limit-declared",
            )
    whole = msgspec.structs.replace(
        file, limit=[*own, *theirs], identities={**file.identities, ROUTE: _ROUTE, KEY: _KEY}
    )
    compiled = None if report.has_errors else compile_policy(whole, {}, report.file, report).policy
    if report.has_errors or compiled is None:
        errors = [problem for problem in report.sorted() if problem.severity == "error"]
        # Without its place: `limit[3]` is nothing that the code has.
        said = "; ".join(f"{problem.message}. {problem.hint}".strip() for problem in errors)
        raise UsageError(f"limit(…): {said}", code="limit-declared")
    return compiled


def matched_with(
    generation: BoundPolicy, limits: tuple[LimitSpec, ...], route: str, params: Mapping[str, str]
) -> Matched:
    """Return what asks these limits of one request, given the parameters of its path."""
    return generation.of(limits, route, {**params, ROUTE: _digest_of(route)})


def _digest_of(route: str) -> str:
    return blake2b(route.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _reads_paths(compiled: CompiledPolicy, limits: Sequence[LimitSpec]) -> bool:
    """Return whether a limit counts by a parameter of the path, or by the application's own function."""
    positions = positions_of(compiled, {limit.index for limit in limits})
    specs = [compiled.identities[position] for position in positions]
    return any(source.record.is_of_route and spec.name != ROUTE for spec in specs for source in spec.sources)


def _picked(wish: Wish, compiled: CompiledPolicy) -> tuple[LimitSpec, ...]:
    return tuple(limit for limit in compiled.limits if limit.name in wish.names)


def asked_limits(limiter: Limiter) -> AskedLimits:
    """Return what routes may ask of a limiter."""
    found = limiter.runtime.asked
    if not isinstance(found, AskedLimits):
        with _LOCK:
            found = limiter.runtime.asked
            if not isinstance(found, AskedLimits):
                found = AskedLimits(limiter)
                limiter.runtime.be_asked(found)
    return found


_LOCK = Lock()
