"""A trial question to a policy's server: what it would answer now, without deciding anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ratelimit.clock import SystemClock
from ratelimit.deciding.decider import AskAway
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.errors import StoreError
from ratelimit.inspection.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.stores.contract import Outcome
from ratelimit.stores.factory import private_store, wish_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

PATIENCE_S = 2.0
"""The time that the server has to answer: a person waits, not a request."""
PAUSE_S = 0.05
NEVER = 1 << 62


def server_of(policy: Policy) -> RedisStore:
    """Return the store of a policy that names a server; it makes no part of the host's workers.

    Raises:
        InspectionFailure: it cannot be reached; or neither the policy nor a worker here has a hash key.
    """
    remote = policy.compiled.remote
    assert remote is not None  # see the caller
    try:
        # In the memory that the workers share is the key, unless the policy has it, and what the server
        # said last of a balance.
        try:
            embedded = attach(policy)
        except InspectionFailure:
            if wish_of(policy, needs_key=False).key is None:
                raise
            embedded = private_store(policy, SystemClock())
        try:
            # Its client library is not there for every policy.
            from ratelimit.stores.redis.store import RedisStore

            store = RedisStore(replace(remote, timeout_ns=round(PATIENCE_S * 1e9)), embedded)
            store.fair_share.pause(NEVER)  # the workers' shares are theirs
            return store
        except BaseException:
            embedded.close()
            raise
    except StoreError as error:
        raise InspectionFailure(f"{remote.url}: {error} [{error.code}]", "deployment") from error


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
    if plan.core.rules[0].algorithm != "lifetime":
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


def no_answer(url: str, error: StoreError) -> InspectionFailure:
    """Return what the operator is told of a server that did not answer."""
    return InspectionFailure(
        f"{url}: {error} [{error.code}]", "deployment", hint="`ratelimit doctor` shows more."
    )
