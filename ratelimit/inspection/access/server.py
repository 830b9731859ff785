"""A policy's server, for inspection; `asking` has the questions to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ratelimit.clock import SystemClock
from ratelimit.errors import StoreError
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store, wish_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.store import RedisStore

PATIENCE_S = 2.0
"""The time that the server has to answer: a person waits, not a request."""
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


def no_answer(url: str, error: StoreError) -> InspectionFailure:
    """Return what the operator is told of a server that did not answer."""
    return InspectionFailure(
        f"{url}: {error} [{error.code}]", "deployment", hint="`ratelimit doctor` shows more."
    )
