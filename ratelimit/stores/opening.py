"""From a policy's `[store]` to a store."""

from __future__ import annotations

import os
import warnings

from ratelimit.clock import Clock
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.policy.compiled import CompiledPolicy
from ratelimit.stores.base import Store
from ratelimit.stores.embedded import EmbeddedStore
from ratelimit.stores.secret import find_key

LEAST_BLOCK_BYTES = 1 << 20
_BLOCKS_A_RULE = 8 << 20
_MOST_BLOCKS = 32 << 20
_WITH_BLOCKS = frozenset({"sliding-log", "concurrency", "distinct"})


def open_store(policy: Policy, clock: Clock | None = None) -> Store:
    """Return the store a policy asks for.

    A policy that did not come from a file has no name that workers could meet
    under, so its memory is private unless it gives a path.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """
    compiled = policy.compiled
    wanted = compiled.file.store
    key = find_key(compiled.hash_key)
    blocks = wanted.block_bytes if wanted.block_bytes is not None else default_block_bytes(compiled)
    if wanted.memory == "shared" and (policy.path is not None or wanted.path is not None):
        name = os.path.realpath(policy.path if policy.path is not None else wanted.path or "")
        try:
            return EmbeddedStore.shared(
                name, path=wanted.path, keys=wanted.keys, block_bytes=blocks, key=key, clock=clock
            )
        except StoreError as error:
            if wanted.on_unusable != "private":
                raise
            warnings.warn(
                f"shared memory cannot be used ({error}); as store.on_unusable says, this process counts alone",
                RuntimeWarning,
                stacklevel=2,
            )
    return EmbeddedStore.private(keys=wanted.keys, block_bytes=blocks, key=key, clock=clock)


def default_block_bytes(compiled: CompiledPolicy) -> int:
    """Return room for blocks: some for a reload that adds a rule, more for each rule that needs them."""
    rules = sum(rule.algorithm in _WITH_BLOCKS for rule in compiled.rules)
    return min(_MOST_BLOCKS, max(LEAST_BLOCK_BYTES, rules * _BLOCKS_A_RULE))
