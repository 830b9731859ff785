"""A correlator's memory for inspection: of a snapshot, or of a server. `recorded` has that of a trace.

Where the evidence comes from is apart from what is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path as FilePath
from threading import Lock

from ratelimit.clock import ManualClock, SystemClock
from ratelimit.clustering.amendment import amendment_of
from ratelimit.clustering.snapshot import Format, Refused, SnapshotFile
from ratelimit.core.clusters.profile import members_of, takings
from ratelimit.correlation import Correlator
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.errors import StoreError
from ratelimit.inspection.access.attachment import attach
from ratelimit.inspection.acts.held import acts_held, ended_since, merged_log
from ratelimit.inspection.acts.rulings import ruled_words
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CorrelationSpec
from ratelimit.stores.acts.act import Act, in_force
from ratelimit.stores.embedded.board import fingerprint_of, snapshot_path
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.factory import private_store, wish_of


@dataclass(frozen=True)
class Source:
    """The subject of inspection: a correlator, and its policy bound to the same key."""

    correlator: Correlator
    bound: BoundPolicy
    name: str
    acts: Sequence[Act] = ()
    """The operator's, of those in force when it was looked at."""

    @cached_property
    def actors(self) -> Sequence[Overview]:
        """The actors, the largest first."""
        return overviews_of(self.correlator)

    @cached_property
    def takings(self) -> Mapping[int, int]:
        """By actor, the requests of all its members since each was first seen."""
        found = takings(self.correlator.core)
        return {
            identity: found.get(label, (0, 0.0))[0] for label, identity in self.correlator.identities.items()
        }

    def ruled(self, actor: Overview) -> str:
        """Return what an operator rules on an actor, by whom and how long ago; empty for nothing."""
        members = {key for key, _ in actor.members}
        return ruled_words(actor.override, self.acts, members, SystemClock().now_ns())

    def ruled_account(self, key: int) -> str:
        """Return the same of one account, by itself or by its actor."""
        ruling, keys = self.correlator.override_of(key), {key}
        if ruling in ("confirm", "clear"):  # an act names some accounts of the actor that it is about
            label = self.correlator.core.label_of(key)
            keys.update(one for one, *_ in members_of(self.correlator.core, label))
        return ruled_words(ruling, self.acts, keys, SystemClock().now_ns())

    @cached_property
    def _labels(self) -> Mapping[int, int]:
        return {identity: label for label, identity in self.correlator.identities.items()}

    def watched_ns(self, actor: int) -> int:
        """Return for how long an actor's requests were counted: since its first member was seen."""
        correlator, label = self.correlator, self._labels.get(actor)
        members = () if label is None else members_of(correlator.core, label)
        first_s = min((first_s for *_, first_s, _ in members), default=correlator.now_ns // 10**9)
        return max(0, correlator.now_ns - first_s * 10**9)


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
    spec_of(policy)
    if policy.compiled.remote is not None:
        try:
            return from_server(policy)
        except InspectionFailure as failure:
            raise InspectionFailure(str(failure), "deployment", hint=failure.hint) from failure
    path = saved_place(policy)
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
            hint="It saves a minute after it began, and each actor as soon as it is found.",
        ) from failure


def saved_place(policy: Policy) -> str:
    """Return the file that the correlator of this host's workers saves to; empty if it does not save.

    Raises:
        InspectionFailure: no worker has run here.
    """
    store = attach(policy)
    place = store.place
    store.close()
    named = spec_of(policy).snapshot
    return named if named is not None else "" if place is None else str(snapshot_path(place))


class Remembered:
    """The evidence of a running deployment, read again only when it may have changed.

    It has when the correlator saves, and when an act is made or ends. What a server has is read again after
    `FRESH_S`, as asking whether it changed would cost as much. One may be used by several threads.
    """

    FRESH_S = 10

    def __init__(self) -> None:
        self._lock = Lock()
        self._policy: Policy | None = None
        self._stamp: object = None
        self._source: Source | None = None

    def __call__(self, policy: Policy) -> Source:
        """Return the evidence of a policy's deployment; errors are those of `from_running`."""
        with self._lock:
            stamp = self._stamp_of(policy)
            if self._source is None or stamp != self._stamp or policy is not self._policy:
                self._source = None  # two of a million accounts need not be in memory at once
                self._source = from_running(policy)
                self._policy, self._stamp = policy, stamp
            return self._source

    def _stamp_of(self, policy: Policy) -> object:
        now_ns = SystemClock().now_ns()
        if policy.compiled.remote is not None:
            saved: object = now_ns // (self.FRESH_S * 10**9)
        else:
            try:
                found = FilePath(saved_place(policy)).stat()
                saved = found.st_mtime_ns, found.st_size, found.st_ino
            except OSError:
                saved = None
        held = acts_held(policy, key_of(policy), now_ns)
        return saved, [act.label for act in held]


def key_of(policy: Policy) -> bytes:
    """Return the hash key of a policy: its own, or that of the memory that its workers share.

    Raises:
        InspectionFailure: it has none of its own, and no worker has run here.
    """
    key = wish_of(policy, needs_key=False).key
    if key is not None:
        return key
    store = attach(policy)
    try:
        return store.hasher.key
    finally:
        store.close()


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
        # An act that was made or ended since it was saved shows as well.
        key = store.hasher.key
        log = merged_log(policy) if with_acts else []
        acts = in_force(log, fingerprint_of(key).hex(), now_ns)
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
    # The saved evidence has accounts as they were while such an act held.
    ended = ended_since(log, key, correlator.now_ns, now_ns)
    if any(act.of.regroups and act.at_ns >= correlator.now_ns for act in acts) or any(
        act.of.regroups or act.of.effect == "exempt" for act in ended
    ):
        for _ in correlator.rebuild(now_ns):
            pass
    return Source(correlator, bound, name, acts)


def spec_of(policy: Policy) -> CorrelationSpec:
    spec = policy.compiled.correlation
    if spec is None:
        hint = "Write `[correlation]` into it."
        raise InspectionFailure("the policy has no correlation", "call", hint=hint)
    return spec
