"""A correlator's memory for inspection: of a trace replayed to its end, of a snapshot, or of a server.

Where the evidence comes from is apart from what is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path as FilePath

from ratelimit.clock import ManualClock, SystemClock
from ratelimit.clustering.amendment import amendment_of
from ratelimit.clustering.snapshot import Format, Refused, SnapshotFile
from ratelimit.correlation import Correlator
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.inspection.acts import acts_held
from ratelimit.inspection.attachment import attach
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.replay.run import Replay
from ratelimit.stores.embedded.board import snapshot_path
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.factory import private_store, wish_of
from ratelimit.traces import TraceUnreadable, open_reader

REGROUPING = ("merge", "split", "organisation")
"""Acts that show in the groups of the next rebuild; the others show at once."""


@dataclass(frozen=True, slots=True)
class Source:
    """The subject of inspection: a correlator, and its policy bound to the same key."""

    correlator: Correlator
    bound: BoundPolicy
    name: str


def from_trace(policy: Policy, trace: str) -> Source:
    """Replay a trace to its end and look at what it left."""
    spec_of(policy)
    replay = Replay(policy.compiled, lambda now_ns: private_store(policy, ManualClock(now_ns)))
    try:
        for batch in open_reader(trace, replay.fields):
            replay.take(batch)
        replay.finish()
    except TraceUnreadable as error:
        raise InspectionFailure(str(error), "input") from error
    if replay.actors is None or replay.first_ns is None:
        raise InspectionFailure(f"{trace}: no request in it could be read", "input")
    correlator = replay.actors.correlator
    for _ in correlator.rebuild(replay.last_ns):
        pass
    source = Source(correlator, replay.bound, trace)
    replay.close()
    return source


def from_snapshot(policy: Policy, path: str, *, with_acts: bool = False) -> Source:
    """Look at what a running correlator last saved; needs the key it hashes with.

    Args:
        policy: the policy.
        path: the file.
        with_acts: whether the operator's acts of this deployment are applied to it.
    """

    def restore(key: bytes, correlator: Correlator, now_ns: int) -> Iterator[None]:
        return SnapshotFile(FilePath(path), key).restore(correlator, now_ns)

    try:
        return _restored(policy, path, restore, with_acts=with_acts)
    except OSError as error:
        raise InspectionFailure(f"{path}: {error.strerror or error}", "input") from error


def from_server(policy: Policy) -> Source:
    """Look at what the correlator of all hosts last saved with the server they share."""
    remote = policy.compiled.remote
    if remote is None:
        raise InspectionFailure("the policy names no server, so none has evidence", "call")
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.hosts.snapshot import read_snapshot

    def restore(key: bytes, correlator: Correlator, now_ns: int) -> Iterator[None]:
        found = read_snapshot(remote, key)
        if found is None:
            raise InspectionFailure(f"{remote.url}: no correlator has saved anything there yet", "input")
        yield from Format(key).take(BytesIO(found), len(found), correlator, now_ns)

    try:
        return _restored(policy, remote.url, restore)
    except StoreError as error:
        raise InspectionFailure(f"{remote.url}: {error} [{error.code}]", "deployment") from error


def from_running(policy: Policy) -> Source:
    """Look at what the correlator of this host's workers, or of all hosts, last saved.

    Raises:
        InspectionFailure: of the deployment, if it saved nothing; and as the others.
    """
    spec = spec_of(policy)
    if policy.compiled.remote is not None:
        try:
            return from_server(policy)
        except InspectionFailure as failure:
            raise InspectionFailure(str(failure), "deployment", hint=failure.hint) from failure
    store = attach(policy)
    place = store.place
    store.close()
    path = spec.snapshot if spec.snapshot is not None or place is None else str(snapshot_path(place))
    if not path:
        hint = "It follows `[correlation] snapshot`; without the key it is saved beside the shared memory."
        raise InspectionFailure(f"{policy.name}: its correlator does not save", "deployment", hint=hint)
    try:
        return from_snapshot(policy, path, with_acts=True)
    except InspectionFailure as failure:
        if is_there(FilePath(path)):
            raise
        raise InspectionFailure(
            f"{policy.name}: its correlator has not saved yet",
            "deployment",
            hint="It saves a minute after it began, and each cluster as soon as it is found.",
        ) from failure


def _restored(
    policy: Policy,
    name: str,
    restore: Callable[[bytes, Correlator, int], Iterator[None]],
    *,
    with_acts: bool = True,
) -> Source:
    spec = spec_of(policy)
    now_ns = SystemClock().now_ns()
    has_key = wish_of(policy, needs_key=False).key is not None
    # Without a key in the policy it is in the memory that the workers share.
    store = private_store(policy, ManualClock(now_ns)) if has_key else attach(policy)
    try:
        # An act that was made since it was saved shows as well.
        acts = acts_held(policy, store.hasher.key, now_ns) if with_acts else ()
        bound = BoundPolicy(
            policy.compiled,
            store,
            now_ns,
            diagnose=lambda code: None,
            amendment=amendment_of(policy.compiled, acts),
        )
        correlator = Correlator(
            spec.settings,
            now_ns,
            spec.columns(),
        )
        for _ in restore(store.table.key, correlator, now_ns):
            pass
    except Refused as refusal:
        raise InspectionFailure(f"{name}: the snapshot is not used: {refusal.code}", "input") from refusal
    finally:
        store.close()
    if bound.knowledge is not None:
        bound.knowledge.tell(correlator)
    if any(act.kind in REGROUPING and act.at_ns >= correlator.now_ns for act in acts):
        for _ in correlator.rebuild(now_ns):
            pass
    return Source(correlator, bound, name)


def spec_of(policy: Policy) -> CorrelationSpec:
    spec = policy.compiled.correlation
    if spec is None:
        hint = "Write `[correlation]` into it."
        raise InspectionFailure("the policy has no correlation", "call", hint=hint)
    return spec
