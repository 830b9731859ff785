"""Looking into the shared table of a running deployment, without becoming part of it."""

from __future__ import annotations

import os

from ratelimit.cli.failure import DEPLOYMENT, Failure
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.storage import wish_of
from ratelimit.stores.embedded import EmbeddedStore


class WatchedStore(EmbeddedStore):
    """A store that takes no worker's seat: it reads, and what it decides is not counted."""

    def _join(self) -> None:
        self._pid = os.getpid()


def attach(policy: Policy, *, takes_seat: bool = False) -> EmbeddedStore:
    """Return the store that the workers of this policy share on this host.

    Args:
        takes_seat: whether it joins as a worker does; peeking at slots needs that.

    Raises:
        Failure: there is none, or it is not ours to read.
    """
    try:
        wish = wish_of(policy)
        place = wish.place
        if wish.name is None or place is None:
            raise Failure(
                f"{policy.name}: its workers count in private memory, which nobody else can see",
                DEPLOYMENT,
                hint='Give the metrics address instead, or set [store] memory = "shared".',
            )
        if not place.exists():
            raise Failure(
                f"no worker of this user has run {policy.name} on this host: {place} is not there",
                DEPLOYMENT,
                hint="Start the application, or give the address of its /metrics.",
            )
        kind = EmbeddedStore if takes_seat else WatchedStore
        return kind.shared(
            wish.name,
            path=place,
            keys=wish.keys,
            block_bytes=wish.block_bytes,
            key=wish.key,
            mends=False,
        )
    except StoreError as error:
        raise Failure(f"{error} [{error.code}]", DEPLOYMENT) from error
