"""Asking the application's resolvers: at most once for each key, and never for long.

Theory of operation. An answer is remembered under a hash of the source the policy names
as its key. While one call for a key is under way, others for it wait for the same call; it
runs in a task of its own, so that a client who hangs up takes nothing from those who wait.
A resolver that raises or takes too long leaves the identity missing, and its `missing`
rule applies: a fault in there never fails a request.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from starlette.types import Scope

from ratelimit.generation import Generation
from ratelimit.identity.fact import Context
from ratelimit.identity.remembered import Answer, Remembered
from ratelimit.limiter import Limiter
from ratelimit.policy.compiled import CacheSpec

MOST_UNDER_WAY = 1024
"""Calls of all resolvers at once; beyond, the identity counts as missing."""

NOBODY: Answer = {}


class Resolving:
    """The resolvers of one limiter, their caches, and the calls under way.

    Args:
        limiter: whose policy names the resolvers.
        timeout_s: how long an awaited answer may take.
    """

    def __init__(self, limiter: Limiter, timeout_s: float) -> None:
        self._limiter = limiter
        self._timeout_s = timeout_s
        self._caches: dict[str, tuple[CacheSpec, Remembered]] = {}
        self._under_way: dict[tuple[str, int], asyncio.Task[Answer]] = {}

    async def resolve(
        self,
        scope: Scope,
        generation: Generation,
        names: Sequence[str],
        host: str | None,
        context: Context,
        now_ns: int,
    ) -> Mapping[str, Answer]:
        """Return the answers of these resolvers for one request; several are asked at once."""
        calls = [self._answer(name, scope, generation, host, context, now_ns) for name in names]
        answers = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        return dict(zip(names, answers, strict=True))

    async def _answer(
        self, name: str, scope: Scope, generation: Generation, host: str | None, context: Context, now_ns: int
    ) -> Answer:
        spec = generation.resolver_cache(name)
        key = None
        if spec is not None:
            key = generation.extractor.key_of(spec.key.as_source(), scope["headers"], host, context)
        if spec is None or key is None:
            return await self._ask(name, scope, generation) or NOBODY
        cache = self._cache(name, spec)
        known = cache.get(key, now_ns)
        if known is not None:
            return known
        task = self._under_way.get((name, key))
        if task is None:
            if len(self._under_way) >= MOST_UNDER_WAY:
                self._limiter.notice("resolver-busy")
                return NOBODY
            task = asyncio.ensure_future(self._ask_and_keep(name, key, scope, generation, cache, now_ns))
            self._under_way[name, key] = task
            task.add_done_callback(lambda _: self._under_way.pop((name, key), None))
        # Shielded: whoever is cancelled stops waiting, the call goes on for the others.
        return await asyncio.shield(task)

    def _cache(self, name: str, spec: CacheSpec) -> Remembered:
        known = self._caches.get(name)
        if known is None or known[0] != spec:
            known = self._caches[name] = (spec, Remembered(spec.size, spec.ttl_ns))
        return known[1]

    async def _ask_and_keep(
        self, name: str, key: int, scope: Scope, generation: Generation, cache: Remembered, now_ns: int
    ) -> Answer:
        answer = await self._ask(name, scope, generation)
        if answer is None:
            return NOBODY  # a failure is not an answer: the next request asks again
        cache.put(key, answer, now_ns)
        return answer

    async def _ask(self, name: str, scope: Scope, generation: Generation) -> Answer | None:
        """Return the answer, None when the resolver failed."""
        try:
            found: Any = generation.resolvers[name](scope)
            if inspect.isawaitable(found):
                found = await self._bounded(found)
        except Exception as error:
            # Whatever it raises is the application's; a request must not fail for it.
            self._limiter.observer.resolver_failed(name, error)
            return None
        return generation.extractor.resolved(name, found)

    async def _bounded(self, answer: Awaitable[Any]) -> Any:
        return await asyncio.wait_for(answer, self._timeout_s)
