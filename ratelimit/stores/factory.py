"""The store that a policy's `[store]` and `[hashing]` describe; the one place that knows both."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import msgspec

from ratelimit.algorithms import IN_WORDS
from ratelimit.allowance.memory import SharedRecords, records_form
from ratelimit.clock import Clock, SystemClock
from ratelimit.conduct.memory import SharedConduct, conduct_form
from ratelimit.core.memory.table import Table, table_bytes
from ratelimit.errors import StoreError
from ratelimit.load.memory import SharedInFlight
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.embedded.mapping import shared_path
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.secret import find_key
from ratelimit.telemetry.counters import RemoteCounters

M = TypeVar("M")
LEAST_BLOCK_BYTES = 1 << 20
SIGHTINGS = 8192
"""The number that can wait for the correlator: more than a second at five thousand a second."""
_COUNTED_KEYS = 1024
"""The least a table has: counters of requests take none."""
_COUNTING: WeakKeyDictionary[Store, EmbeddedStore] = WeakKeyDictionary()
_BLOCKS_A_RULE = 8 << 20
_MOST_BLOCKS = 32 << 20


@dataclass(frozen=True, slots=True)
class StoreWish:
    """The needs of a policy from its store."""

    keys: int
    block_bytes: int
    key: bytes | None = field(repr=False)
    """The hash key, None when the first worker is to make one."""
    name: str | None
    """What workers meet under; None when each is to count alone.

    The policy's path as it was written, made absolute: links are not followed. So a link may lead to
    another file from now on (`current -> release`, a ConfigMap's `..data`) and is still the same policy.
    Workers that start after that count on with those that run.
    """
    path: str | None
    """The file the policy names, if it does."""

    @property
    def place(self) -> Path | None:
        """The file behind the shared memory."""
        if self.name is None:
            return None
        return shared_path(self.name, self.path, table_bytes(self.keys, self.block_bytes), self.key)


def wish_of(policy: Policy, *, needs_key: bool = True) -> StoreWish:
    """Return what a policy asks of its store.

    A policy that did not come from a file has no name that workers could meet under. So its
    memory is private unless it gives a path.

    Args:
        needs_key: whether a hash key that cannot be found is an error; else it is as if none were named.

    Raises:
        StoreError: code `hash-key`.
    """
    compiled = policy.compiled
    wanted = compiled.file.store
    spec = compiled.hash_key
    try:
        key = None if spec is None else find_key(spec.kind, spec.value)
    except StoreError:
        if needs_key:
            raise
        key = None
    blocks = compiled.file.tuning.block_bytes
    if blocks is None:
        # Some for a reload that adds a rule, more for each rule that needs them now.
        rules = sum(rule.algorithm not in IN_WORDS for rule in compiled.rules)
        blocks = min(_MOST_BLOCKS, max(LEAST_BLOCK_BYTES, rules * _BLOCKS_A_RULE))
    known_as = policy.path if policy.path is not None else wanted.path
    name = None if wanted.memory == "private" or known_as is None else str(Path(known_as).absolute())
    return StoreWish(wanted.keys, blocks, key, name, wanted.path)


class Windows(Protocol):
    """The counter by a name without a policy: the storage for `limits`."""

    store: EmbeddedStore
    clock: Clock

    def open(self) -> EmbeddedStore:
        """Return the store that its name has now."""
        ...

    def use(self, store: EmbeddedStore, /) -> None:
        """Count in another store from now on."""

    def reset(self) -> int:
        """Forget everything; return how many counters were in use."""
        ...


class Isolating(Protocol):
    """The replacement of this module's stores in an application's test: see `ratelimit.testing`."""

    def open(self, policy: Policy, clock: Clock | None, /) -> Store:
        """Return the store of a limiter."""
        ...

    def enter(self, windows: Windows, /) -> None:
        """Take in what counts without a policy."""


isolating: Isolating | None = None
"""The test that this process is in, if any."""
WINDOWS: WeakSet[Windows] = WeakSet()
"""All of this process that count without a policy."""


def is_isolated() -> bool:
    """Return whether stores of a test's own stand in place of what policies say."""
    return isolating is not None


def enter_windows(windows: Windows) -> None:
    """Make what counts without a policy known to tests, of now and later."""
    WINDOWS.add(windows)
    if isolating is not None:
        isolating.enter(windows)


def open_store(policy: Policy, clock: Clock | None = None, *, alone: bool = False) -> Store:
    """Return the store a policy asks for.

    Args:
        alone: whether to have one of this process' own, whatever the policy asks for. A clock that moves only
            when it is told to has none that others share, unless the policy names it: their time is another.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """
    if isolating is not None:
        return isolating.open(policy, clock)
    is_named = policy.compiled.remote is not None or policy.compiled.file.store.path is not None
    if alone or (getattr(clock, "is_private", False) and not is_named):
        return private_store(policy, SystemClock() if clock is None else clock)
    embedded = open_embedded(policy, clock)
    if policy.compiled.remote is None:
        return embedded
    try:
        # Only where it is asked for: the client library is an extra.
        from ratelimit.stores.redis.store import RedisStore

        return RedisStore(policy.compiled.remote, embedded, metrics=RemoteCounters(embedded.table))
    except BaseException:
        embedded.close()
        raise


def counting_table(store: Store) -> Table:
    """Return where a store's limiter counts: in the store's own table, or in memory of this process."""
    if store.table is not None:
        return store.table
    counting = EmbeddedStore.private(
        keys=_COUNTED_KEYS, block_bytes=LEAST_BLOCK_BYTES, key=store.hasher.key, clock=store.clock
    )
    _COUNTING[store] = counting  # a fork makes it another worker's, as long as there is one
    return counting.table


def open_embedded(policy: Policy, clock: Clock | None = None) -> EmbeddedStore:
    """Return the store in this host's memory: where limits live, or what stands in for a server.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """
    wish = wish_of(policy)
    if wish.name is not None:
        try:
            return EmbeddedStore.shared(
                wish.name,
                path=wish.path,
                keys=wish.keys,
                block_bytes=wish.block_bytes,
                key=wish.key,
                clock=clock,
            )
        except StoreError as error:
            if policy.compiled.file.store.memory != "prefer-shared":
                raise
            warnings.warn(
                f"shared memory cannot be used ({error}); by store.memory, this process counts alone",
                RuntimeWarning,
                stacklevel=2,
            )
    return EmbeddedStore.private(keys=wish.keys, block_bytes=wish.block_bytes, key=wish.key, clock=clock)


def open_board(policy: Policy, store: Store, principals: int, *, is_shared: bool = True) -> SharedBoard:
    """Return what correlation shares among a store's workers, or a board of this process' own.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """

    def private() -> SharedBoard:
        return SharedBoard.private(store.hasher.key, principals=principals, sightings=SIGHTINGS)

    if not is_shared:
        return private()
    return _shared(
        policy,
        lambda: SharedBoard.beside(store, principals=principals, sightings=SIGHTINGS),
        private,
        "correlation",
        "correlates alone",
    )


def open_conduct(policy: Policy, store: Store) -> SharedConduct:
    """Return what a store's workers remember of conduct, or what this process does.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """
    form = conduct_form()
    return _shared(
        policy,
        lambda: SharedConduct.beside(store, form),
        lambda: SharedConduct.private(store, form),
        "conduct",
        "remembers it alone",
    )


def open_records(policy: Policy, store: Store) -> SharedRecords:
    """Return the records of payers that a store's workers share, or this process' own.

    Raises:
        StoreError: they cannot be had, and the policy does not say to go on without.
    """
    form = records_form(policy.compiled.file.tuning.payers)
    return _shared(
        policy,
        lambda: SharedRecords.beside(store, form),
        lambda: SharedRecords.private(store, form),
        "records of payers",
        "keeps them alone",
    )


def open_flight(policy: Policy, store: Store, name: str, floor: int, step_ns: int) -> SharedInFlight:
    """Return what a store's workers have in flight under the limit of this name, or what this process has.

    Raises:
        StoreError: it cannot be had, and the policy does not say to go on without.
    """
    return _shared(
        policy,
        lambda: SharedInFlight.beside(store, name, floor=floor, step_ns=step_ns),
        lambda: SharedInFlight.private(store, floor=floor, step_ns=step_ns),
        "what is in flight",
        "has a limit of its own",
    )


def _shared(policy: Policy, beside: Callable[[], M], private: Callable[[], M], what: str, does: str) -> M:
    """Return shared memory; with a warning private memory, where the policy says to go on without."""
    try:
        return beside()
    except StoreError as error:
        if policy.compiled.file.store.memory != "prefer-shared":
            raise
        warnings.warn(
            f"shared memory for {what} cannot be used ({error}); by store.memory, this process {does}",
            RuntimeWarning,
            stacklevel=3,
        )
    return private()


def private_store(policy: Policy, clock: Clock, *, seed: int = 0) -> EmbeddedStore:
    """Return a store as large as the policy's, empty and never shared: for replays and trials.

    Hashes are made with the policy's key where it can be had here. Else the key follows from
    the policy's contents and the seed, so a laptop without the secret can still replay a log.
    The same log, policy and seed give the same to the byte.
    """
    wish = wish_of(policy, needs_key=False)
    key = wish.key or _key_of(policy, seed)
    return EmbeddedStore.private(keys=wish.keys, block_bytes=wish.block_bytes, key=key, clock=clock)


def _key_of(policy: Policy, seed: int) -> bytes:
    contents = msgspec.json.encode(policy.file)
    return hashlib.blake2b(
        contents, digest_size=16, salt=seed.to_bytes(8, "big"), person=b"kinlimit replay"
    ).digest()
