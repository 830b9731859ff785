"""Asking a policy's server what it would say now, without deciding anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit.cli.attach import attach
from ratelimit.cli.failure import DEPLOYMENT, Failure
from ratelimit.clock import SystemClock
from ratelimit.core.engine import Outcome
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.route_plan import RoutePlan
from ratelimit.storage import private_store, wish_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.store import RedisStore

PATIENCE_S = 2.0
"""How long the server has to answer: a person waits, not a request."""
PAUSE_S = 0.05
NEVER = 1 << 62


def server_of(policy: Policy) -> RedisStore:
    """Return the store of a policy that names a server; it makes no part of the host's workers.

    Raises:
        Failure: it cannot be had; or the policy has no hash key, and no worker on this host has one.
    """
    remote = policy.compiled.remote
    assert remote is not None  # see the caller
    try:
        # Without a key in the policy it is in the memory that the workers share.
        has_key = wish_of(policy, needs_key=False).key is not None
        embedded = private_store(policy, SystemClock()) if has_key else attach(policy)
        try:
            # Its client library is not there for every policy.
            from ratelimit.stores.redis.store import RedisStore

            store = RedisStore(replace(remote, timeout_ns=round(PATIENCE_S * 1e9)), embedded)
            store.pulse.pause(NEVER)  # the workers' shares are theirs
            return store
        except BaseException:
            embedded.close()
            raise
    except StoreError as error:
        raise Failure(f"{remote.url}: {error} [{error.code}]", DEPLOYMENT) from error


def asked(store: RedisStore, plan: RoutePlan, row: Sequence[int], costs: Sequence[int]) -> Outcome:
    """Return what the server says of a request; charge nothing.

    Raises:
        Failure: it does not answer in time.
    """
    try:
        return asyncio.run(_asked(store, plan, row, costs))
    except StoreError as error:
        raise Failure(
            f"{store.spec.url}: {error} [{error.code}]", DEPLOYMENT, hint="`ratelimit doctor` says more."
        ) from error


async def _asked(store: RedisStore, plan: RoutePlan, row: Sequence[int], costs: Sequence[int]) -> Outcome:
    loop, courier = asyncio.get_running_loop(), store.courier()
    until = loop.time() + PATIENCE_S
    try:
        while True:
            try:
                return await courier.ask(plan.plan, row, costs, store.clock.now_ns(), commit=False)
            except StoreError:
                if loop.time() >= until:
                    raise
            await asyncio.sleep(PAUSE_S)
    finally:
        await store.rest()
