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
from typing import Any

import msgspec

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.extraction import positions_of
from ratelimit.deciding.matched import Matched
from ratelimit.errors import UsageError
from ratelimit.integrations.requirement import KEY, ROUTE, Wish, is_rate
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule, LimitSpec
from ratelimit.policy.compile.compiler import compile_policy
from ratelimit.policy.schema.binder import bind
from ratelimit.policy.schema.model import Identity, Limit, PolicyFile
from ratelimit.policy.schema.problem import Report, did_you_mean

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
        self._found: dict[Wish, tuple[LimitSpec, ...]] = {}
        self._matched: tuple[BoundPolicy | None, dict[tuple[Wish, str], Matched | None]] = (None, {})

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
                generation = self._join(wish, under, now_ns)
                found = self._found[wish] = _picked(wish, generation.compiled)
        return generation, found

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

    def _join(self, wish: Wish, under: BoundPolicy, now_ns: int) -> BoundPolicy:
        """Return the policy in force with what a wish adds to it."""
        policy = self._limiter.policy
        names, declared = self._names, self._declared
        if wish.table is None:
            names = names.union(wish.names)
        else:
            declared = declared | self._fresh(wish.names[0], wish.table)
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

    def _fresh(self, name: str, table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        if self._declared.get(name, table) != table:
            raise UsageError(
                f"two routes declare the limit {name!r} with different settings; give each a name",
                code="limit-declared",
            )
        if name not in self._declared and len(self._declared) >= _MOST_DECLARED:
            raise UsageError(f"more than {_MOST_DECLARED} limits are written in code", code="limit-declared")
        return {name: table}

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
    digest = blake2b(route.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return generation.of(limits, route, {**params, ROUTE: digest})


def _reads_paths(compiled: CompiledPolicy, limits: Sequence[LimitSpec]) -> bool:
    """Return whether a limit counts by a parameter of the path, or by the application's own function."""
    positions = positions_of(compiled, {limit.index for limit in limits})
    specs = [compiled.identities[position] for position in positions]
    return any(source.kind == "path" and spec.name != ROUTE for spec in specs for source in spec.sources)


def _picked(wish: Wish, compiled: CompiledPolicy) -> tuple[LimitSpec, ...]:
    return tuple(limit for limit in compiled.limits if limit.name in wish.names)


def asked_limits(limiter: Limiter) -> AskedLimits:
    """Return what routes may ask of a limiter."""
    found = limiter.runtime.asked
    if not isinstance(found, AskedLimits):
        with _LOCK:
            found = limiter.runtime.asked
            if not isinstance(found, AskedLimits):
                found = limiter.runtime.asked = AskedLimits(limiter)
    return found


_LOCK = Lock()
