"""Calls of the application's resolvers: at most one for each key, and never long.

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

Clients share the calls that are under way. Beyond `MOST_UNDER_WAY` the client with most of them loses its
newest, and that request is refused. Its identity does not count as missing: another limit might have room
then.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.types import Scope

from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.share import PerLoop, RequestLost
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.decision import Reason
from ratelimit.identity.fact import Context
from ratelimit.identity.remembered import Answer, Remembered
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import CacheSpec
from ratelimit.waiting.model.fair_bound import FairBound, HeldItem

MOST_UNDER_WAY = 1024
"""Awaited calls of all resolvers at once, on one event loop; beyond, the largest holder loses."""
MOST_LEFT_BEHIND = 1024
"""Further calls that will not be cancelled. Beyond these, a request that needs another is refused."""

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
        self._bounds = PerLoop(lambda: FairBound(MOST_UNDER_WAY))

    def remembered(
        self,
        scope: Scope,
        bound: BoundPolicy,
        names: Sequence[str],
        host: str | None,
        context: Context,
        now_ns: int,
    ) -> Mapping[str, Answer] | None:
        """Return the answers of these resolvers if all are remembered; None where one has to be asked."""
        answers: dict[str, Answer] = {}
        for name in names:
            place = self._place(name, scope, bound, host, context)
            known = None if place is None else place[0].get(place[1], now_ns)
            if known is None:
                return None
            answers[name] = known
        return answers

    async def resolve(
        self,
        scope: Scope,
        bound: BoundPolicy,
        names: Sequence[str],
        host: str | None,
        context: Context,
        now_ns: int,
    ) -> Mapping[str, Answer]:
        """Return the answers of these resolvers for one request; several are asked at once.

        Raises:
            Ended: too many calls are under way, and this request's client has most of them.
        """
        calls = [self._answer(name, scope, bound, host, context, now_ns) for name in names]
        answers = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        return dict(zip(names, answers, strict=True))

    async def _answer(
        self, name: str, scope: Scope, bound: BoundPolicy, host: str | None, context: Context, now_ns: int
    ) -> Answer:
        place = self._place(name, scope, bound, host, context)
        if place is None:
            return await self._ask(name, scope, bound)
        cache, key = place
        known = cache.get(key, now_ns)
        if known is not None:
            return known
        while True:
            task = self._shared.get(place)
            # A call of another event loop, which may have ended without a word, tells this one nothing.
            is_own = task is None or task.get_loop() is not asyncio.get_running_loop()
            if task is None or is_own:
                task = asyncio.ensure_future(self._ask_and_keep(name, key, scope, bound, cache, now_ns))
                self._shared[place] = task
                task.add_done_callback(lambda ended: self._unshare(place, ended))
            try:
                # Shielded: a request that is cancelled stops waiting, the call goes on for the others.
                return await asyncio.shield(task)
            except RequestLost:
                if is_own:
                    raise
                # The call was another client's, and that one had too many: this one may have its own.
                self._unshare(place, task)

    def _place(
        self, name: str, scope: Scope, bound: BoundPolicy, host: str | None, context: Context
    ) -> tuple[Remembered, int] | None:
        """Return a resolver's cache, and a request's key in it; None where nothing is remembered."""
        spec = bound.resolver_cache(name)
        if spec is None:
            return None
        key = bound.extractor.key_of(spec.key.as_source(), scope["headers"], host, context)
        return None if key is None else (self._cache(name, (spec, bound.extractor.told_by(name))), key)

    def _cache(self, name: str, meaning: _Meaning) -> Remembered:
        known = self._caches.get(name)
        if known is None or known[0] != meaning:
            spec = meaning[0]
            known = self._caches[name] = (meaning, Remembered(spec.size, spec.ttl_ns))
        return known[1]

    def _unshare(self, key: tuple[Remembered, int], ended: asyncio.Task[Answer]) -> None:
        if self._shared.get(key) is ended:
            del self._shared[key]
        if ended.done() and not ended.cancelled():
            ended.exception()  # seen: those that waited for it may be gone

    async def _ask_and_keep(
        self, name: str, key: int, scope: Scope, bound: BoundPolicy, cache: Remembered, now_ns: int
    ) -> Answer:
        answer = await self._ask(name, scope, bound)
        if answer:
            cache.put(key, answer, now_ns)
        return answer

    async def _ask(self, name: str, scope: Scope, bound: BoundPolicy) -> Answer:
        """Return the answer, `NOBODY` when there is none or the resolver failed."""
        call: _Call | None = None
        try:
            found: Any = bound.resolvers[name](scope)
            if inspect.isawaitable(found):
                call = self._start(found, scope, bound)
        except RequestLost:
            raise
        except BaseException as error:
            return self._failed(name, error)
        if call is not None:
            has_ended = await self._has_ended(call.task)
            if call.is_lost:
                raise self._busy()
            if not has_ended:
                return self._failed(name, TimeoutError())
            try:
                found = call.task.result()
            except BaseException as error:
                return self._failed(name, error)
        return bound.extractor.resolved(name, found)

    def _start(self, answer: Awaitable[Any], scope: Scope, bound: BoundPolicy) -> _Call:
        if len(self._awaited) >= MOST_UNDER_WAY + MOST_LEFT_BEHIND:
            _close(answer)
            raise self._busy()
        call = _Call(answer)
        self._awaited.add(call.task)
        held = self._bounds.here().hold(holder_of(scope, bound), call.lose)
        call.task.add_done_callback(partial(self._end, held, answer))
        held.grow(1)
        return call

    def _busy(self) -> RequestLost:
        self._limiter.runtime.diagnose("resolver-busy")
        return RequestLost(Reason.CAPACITY)

    def _end(self, held: HeldItem, answer: Awaitable[Any], task: asyncio.Task[Any]) -> None:
        held.end()
        _close(answer)
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


class _Call:
    """An awaited answer that is under way."""

    __slots__ = ("is_lost", "task")

    def __init__(self, answer: Awaitable[Any]) -> None:
        self.task = asyncio.ensure_future(_awaiting(answer))
        self.is_lost = False

    def lose(self) -> None:
        """End it, in favour of another client's."""
        self.is_lost = True
        self.task.cancel()


def _close(answer: Awaitable[Any]) -> None:
    """Close an answer that may have lost before it began; of one that has ended nothing is left."""
    if inspect.iscoroutine(answer):
        answer.close()


async def _awaiting(answer: Awaitable[Any]) -> Any:
    return await answer
