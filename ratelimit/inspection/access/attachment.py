"""A view into the shared table of a running deployment, without becoming part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ratelimit.core.sharing.observer import Watch
from ratelimit.errors import StoreError
from ratelimit.inspection.access.memory_owners import as_owner, own_name, owner_of, owners
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.stores.embedded.watched import WatchedStore
from ratelimit.stores.factory import SIGHTINGS, wish_of


def attach(policy: Policy, *, takes_seat: bool = False) -> EmbeddedStore:
    """Return the store that the workers of this policy share on this host.

    Args:
        takes_seat: whether it joins as a worker does; peeking at slots needs that.

    Raises:
        InspectionFailure: there is none, or it is not ours to read.
    """
    place = None
    try:
        wish = wish_of(policy)
        place = wish.place
        if wish.name is None or place is None:
            raise InspectionFailure(
                f"{policy.name}: its workers count in private memory, which other processes cannot see",
                "deployment",
                hint='Give the metrics address instead, or set [store] memory = "shared".',
            )
        if not is_there(place):
            others = owners(place.name) if wish.path is None else []
            raise InspectionFailure(
                f"no worker of {own_name()} has run {policy.name} on this host: {place} is not there",
                "deployment",
                hint=as_owner(others) or "Start the application, or give the address of its /metrics.",
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
        hint = as_owner([owner]) if (owner := owner_of(place)) else ""
        spec = policy.compiled.hash_key
        if error.code == "hash-key" and spec is not None and spec.kind == "env":
            hint = (
                "Workers have it in their environment. From a worker's process, as its user: "
                rf"export $(tr '\0' '\n' < /proc/PID/environ | grep ^{spec.value}=)"
            )
        raise InspectionFailure(f"{error} [{error.code}]", "deployment", hint=hint) from error


@contextmanager
def watch_of(compiled: CompiledPolicy, store: EmbeddedStore) -> Iterator[Watch | None]:
    """Look at the assignments to actors that this host's workers decide by; None where none correlates."""
    spec = compiled.correlation
    shared = None
    if spec is not None:
        principals = spec.settings.principals
        shared = SharedBoard.existing(store, principals=principals, sightings=SIGHTINGS)
    if spec is None or shared is None:
        yield None
        return
    try:
        yield Watch(shared.board, spec.columns(), compiled.cluster)
    finally:
        shared.close()
