"""A store in memory of the command's own: nothing that runs is touched."""

from __future__ import annotations

from ratelimit.clock import Clock
from ratelimit.errors import RateLimitError
from ratelimit.policy import Policy
from ratelimit.stores.base import Store
from ratelimit.stores.embedded import EmbeddedStore
from ratelimit.stores.opening import default_block_bytes
from ratelimit.stores.secret import find_key


def private_store(policy: Policy, clock: Clock) -> Store:
    """Return a store as large as the policy's, empty, and never shared.

    Hashes are made with the policy's key where it can be had here; else with a random
    one, so that a laptop without the secret can still replay a log.
    """
    compiled = policy.compiled
    wanted = compiled.file.store
    try:
        key = find_key(compiled.hash_key)
    except RateLimitError:
        key = None
    blocks = wanted.block_bytes if wanted.block_bytes is not None else default_block_bytes(compiled)
    return EmbeddedStore.private(keys=wanted.keys, block_bytes=blocks, key=key, clock=clock)
