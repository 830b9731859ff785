"""Asking the application's resolvers: at most once for each key, and never for long.

Theory of operation. An answer is remembered under a hash of the source the policy names as its
key. It holds for the positions that the policy gives the identities. For an answer means
nothing to a policy that has others there. While one call for a key is under way, others for
it wait for the same call. It runs in a task of its own, so that a client that hangs up takes
nothing from the requests that wait.

What a resolver returns to be awaited runs in a task of its own as well. So its cancellation
is told from the request's: the first is the resolver's failure, the second goes on up. And
one that will not be cancelled is left behind when its time is over, and counted until it ends.

A resolver that fails leaves the identity missing, and its `missing` rule applies: a fault in
there never fails a request. Only identities are remembered. A failure is no answer, and nor
is "none": the next request asks again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from starlette.types import Scope

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.identity.fact import Context
from ratelimit.identity.remembered import Answer, Remembered
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import CacheSpec

MOST_UNDER_WAY = 1024
"""Awaited calls of all resolvers at once; beyond, the identity counts as missing."""

NOBODY: Answer = {}

_Meaning = tuple[CacheSpec, tuple[tuple[int, str], ...]]
"""What an answer that is remembered means: its key and bounds, and the positions it has hashes for."""


class Resolving:
    """The resolvers of one limiter, their caches, and the calls under way.

    Args:
        limiter: its policy names the resolvers.
        timeout_s: how long an awaited answer may take.
    """

    def __init__(self, limiter: Limiter, timeout_s: float) -> None:
        self._limiter = limiter
        self._timeout_s = timeout_s
        self._caches: dict[str, tuple[_Meaning, Remembered]] = {}
        self._shared: dict[tuple[Remembered, int], asyncio.Task[Answer]] = {}
        self._awaited: set[asyncio.Task[Any]] = set()

    async def resolve(
        self,
        scope: Scope,
        bound: BoundPolicy,
        names: Sequence[str],
        host: str | None,
        context: Context,
        now_ns: int,
    ) -> Mapping[str, Answer]:
        """Return the answers of these resolvers for one request; several are asked at once."""
        calls = [self._answer(name, scope, bound, host, context, now_ns) for name in names]
        answers = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        return dict(zip(names, answers, strict=True))

    async def _answer(
        self, name: str, scope: Scope, bound: BoundPolicy, host: str | None, context: Context, now_ns: int
    ) -> Answer:
        spec = bound.resolver_cache(name)
        key = None
        if spec is not None:
            key = bound.extractor.key_of(spec.key.as_source(), scope["headers"], host, context)
        if spec is None or key is None:
            return await self._ask(name, scope, bound)
        cache = self._cache(name, (spec, bound.extractor.told_by(name)))
        known = cache.get(key, now_ns)
        if known is not None:
            return known
        task = self._shared.get((cache, key))
        # A call of another event loop, which may have ended without a word, tells this one nothing.
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.ensure_future(self._ask_and_keep(name, key, scope, bound, cache, now_ns))
            self._shared[cache, key] = task
            task.add_done_callback(lambda ended: self._unshare((cache, key), ended))
        # Shielded: a request that is cancelled stops waiting, the call goes on for the others.
        return await asyncio.shield(task)

    def _cache(self, name: str, meaning: _Meaning) -> Remembered:
        known = self._caches.get(name)
        if known is None or known[0] != meaning:
            spec = meaning[0]
            known = self._caches[name] = (meaning, Remembered(spec.size, spec.ttl_ns))
        return known[1]

    def _unshare(self, key: tuple[Remembered, int], ended: asyncio.Task[Answer]) -> None:
        if self._shared.get(key) is ended:
            del self._shared[key]

    async def _ask_and_keep(
        self, name: str, key: int, scope: Scope, bound: BoundPolicy, cache: Remembered, now_ns: int
    ) -> Answer:
        answer = await self._ask(name, scope, bound)
        if answer:
            cache.put(key, answer, now_ns)
        return answer

    async def _ask(self, name: str, scope: Scope, bound: BoundPolicy) -> Answer:
        """Return the answer, `NOBODY` when there is none or the resolver failed."""
        if len(self._awaited) >= MOST_UNDER_WAY:
            self._limiter.runtime.diagnose("resolver-busy")
            return NOBODY
        call: asyncio.Task[Any] | None = None
        try:
            found: Any = bound.resolvers[name](scope)
            if inspect.isawaitable(found):
                call = self._start(found)
        except BaseException as error:
            return self._failed(name, error)
        if call is not None:
            if not await self._has_ended(call):
                return self._failed(name, TimeoutError())
            try:
                found = call.result()
            except BaseException as error:
                return self._failed(name, error)
        return bound.extractor.resolved(name, found)

    def _start(self, answer: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(_awaiting(answer))
        self._awaited.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._awaited.discard(task)
        if not task.cancelled():
            task.exception()  # seen: no other task may be there to look

    async def _has_ended(self, call: asyncio.Task[Any]) -> bool:
        """Wait for a call as long as it may take; cancel it if that, or this request, is over."""
        try:
            # Not `wait_for`: that goes on waiting for a call that will not be cancelled.
            await asyncio.wait((call,), timeout=self._timeout_s)
            return call.done()
        finally:
            if not call.done():
                call.cancel()

    def _failed(self, name: str, error: BaseException) -> Answer:
        """Note a resolver's failure: whatever it raises is the application's, and fails no request."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        self._limiter.runtime.observer.resolver_failed(name, error)
        return NOBODY


async def _awaiting(answer: Awaitable[Any]) -> Any:
    return await answer
