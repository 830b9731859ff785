"""Looking into the shared table of a running deployment, without becoming part of it."""

from __future__ import annotations

import os
from pathlib import Path

from ratelimit.cli.failure import DEPLOYMENT, Failure
from ratelimit.core.table import table_bytes
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.stores.embedded import EmbeddedStore
from ratelimit.stores.mapping import default_path
from ratelimit.stores.opening import default_block_bytes
from ratelimit.stores.secret import find_key


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
    compiled = policy.compiled
    wanted = compiled.file.store
    if wanted.memory != "shared" or policy.path is None:
        raise Failure(
            f"{policy.name}: its workers count in private memory, which nobody else can see",
            DEPLOYMENT,
            hint='Give the metrics address instead, or set [store] memory = "shared".',
        )
    blocks = wanted.block_bytes if wanted.block_bytes is not None else default_block_bytes(compiled)
    kind = EmbeddedStore if takes_seat else WatchedStore
    try:
        key = find_key(compiled.hash_key)
        name = os.path.realpath(policy.path)
        size = table_bytes(wanted.keys, blocks)
        place = Path(wanted.path) if wanted.path is not None else default_path(name, size, key)
        if not place.exists():
            raise Failure(
                f"no worker of this user has run {policy.path} on this host since it started ({place} is not there)",
                DEPLOYMENT,
                hint="Start the application, or give the address of its /metrics.",
            )
        return kind.shared(name, path=place, keys=wanted.keys, block_bytes=blocks, key=key)
    except StoreError as error:
        raise Failure(f"{error} [{error.code}]", DEPLOYMENT) from error
