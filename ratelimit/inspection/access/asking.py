"""A trial question to a policy's server: what it would answer now, without deciding anything.

It needs an event loop, so commands on a policy without a server do not load it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ratelimit.algorithms import PREPAID
from ratelimit.deciding.decider import AskAway
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.errors import StoreError
from ratelimit.inspection.access.server import PATIENCE_S
from ratelimit.stores.contract import Outcome

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

PAUSE_S = 0.05
_Said = TypeVar("_Said")


def answer_to(question: Coroutine[Any, Any, _Said]) -> _Said:
    """Return the answer to a question, asked on an event loop of its own; its errors are the question's."""
    return asyncio.run(question)


def ask_patiently(store: RedisStore) -> AskAway:
    """Return what asks the server for the decider, and nothing but the server; it charges nothing.

    What is returned raises `StoreError` when no answer comes in time.
    """

    async def ask(
        plan: RoutePlan, row: list[int], now_ns: int, costs: Sequence[int], charge: bool
    ) -> Outcome:
        return await peek_patiently(store, cast("RedisPlan", plan.away), row, costs)  # the store made it

    return ask


async def peek_patiently(
    store: RedisStore, plan: RedisPlan, row: Sequence[int], costs: Sequence[int]
) -> Outcome:
    """Return what the server says of a plan of this store; nothing is charged.

    Raises:
        StoreError: no answer comes in time.
    """
    loop, batch_client = asyncio.get_running_loop(), store.batch_client()
    until = loop.time() + PATIENCE_S
    try:
        while True:
            try:
                return await batch_client.ask(plan, row, costs, store.clock.now_ns(), commit=False)
            except StoreError:
                if loop.time() >= until:
                    raise
            await asyncio.sleep(PAUSE_S)
    finally:
        await store.aclose_connections()


async def move_patiently(
    store: RedisStore, plan: RedisPlan, row: Sequence[int], units: int, token: int = 0
) -> tuple[int, Sequence[int]]:
    """Charge a counter of a plan's one rule, or give back what is less than 0.

    Args:
        store: made the plan.
        plan: has the one rule.
        row: the identities.
        units: how much.
        token: of a lifetime, the number by which the server does it once.

    Returns:
        How many units moved; and of a lifetime its balance after that, as `RemoteRules.balance` has it.

    Raises:
        StoreError: no answer comes in time; the units may or may not have moved.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_S
    try:
        while True:
            await peek_connected(store, plan, row)
            try:
                return await _moved(store, plan, row, units, token)
            except StoreError:
                # Without a token it could be done twice.
                if not token or loop.time() >= until:
                    raise
            await asyncio.sleep(PAUSE_S)
    finally:
        await store.aclose_connections()


async def _moved(
    store: RedisStore, plan: RedisPlan, row: Sequence[int], units: int, token: int
) -> tuple[int, Sequence[int]]:
    key, now_ns = plan.core.key(0, row), store.clock.now_ns()
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, moved, *after = await store.batch_client().carry(plan, 0, key, units, now_ns, token)
    except TimeoutError as error:
        raise StoreError("no answer came in time", code="redis-unreachable", transient=True) from error
    if plan.core.rules[0].algorithm not in PREPAID:
        return moved, ()
    plan.rules.remember(0, key, after, now_ns)
    return moved, after


async def peek_connected(store: RedisStore, plan: RedisPlan, row: Sequence[int]) -> Outcome:
    """Return what the server says of a plan, as soon as it is connected; the connection stays.

    Raises:
        StoreError: no answer comes in time.
    """
    loop, batch_client = asyncio.get_running_loop(), store.batch_client()
    until = loop.time() + PATIENCE_S
    while True:
        try:
            return await batch_client.ask(plan, row, plan.free, store.clock.now_ns(), commit=False)
        except StoreError:
            if loop.time() >= until:
                raise
        await asyncio.sleep(PAUSE_S)
