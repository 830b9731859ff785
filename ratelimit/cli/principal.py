"""One principal and its cluster: the verdict and what it rests on, for people and for machines.

Where the evidence comes from is apart from what is said of it: a trace replayed to its end
here, or whatever else has a correlator and the policy it was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path as FilePath
from typing import Any

from rich.console import Console
from rich.table import Table

from ratelimit.cli import words
from ratelimit.cli.attach import attach
from ratelimit.cli.failure import DEPLOYMENT, INPUT, USAGE, Failure
from ratelimit.cli.replay.run import Replay
from ratelimit.cli.terminal import Text, say
from ratelimit.clock import ManualClock, SystemClock
from ratelimit.core.sighting import Columns
from ratelimit.correlation import Correlator, Explanation, Settings
from ratelimit.correlation.explanation import Family, Shared
from ratelimit.correlation.words import describe_account, reason_of, short
from ratelimit.decision import VERDICTS
from ratelimit.errors import StoreError
from ratelimit.generation import Generation
from ratelimit.known import principal_key
from ratelimit.policy import Policy
from ratelimit.policy.compiled import CorrelationSpec
from ratelimit.snapshot import Format, Refused, SnapshotFile
from ratelimit.storage import private_store, wish_of
from ratelimit.traces import TraceUnreadable, open_reader

MOST_SHOWN = 4
"""Identifiers of one family that people are shown; machines get all."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is looked at: a correlator, and the policy it goes by, bound to the same key."""

    correlator: Correlator
    generation: Generation
    name: str


def from_trace(policy: Policy, trace: str) -> Source:
    """Replay a trace to its end and look at what it left."""
    _spec_of(policy)
    replay = Replay(policy.compiled, lambda now_ns: private_store(policy, ManualClock(now_ns)))
    try:
        for batch in open_reader(trace, replay.fields):
            replay.take(batch)
    except TraceUnreadable as error:
        raise Failure(str(error), INPUT) from error
    if replay.actors is None or replay.first_ns is None:
        raise Failure(f"{trace}: no request in it could be read", INPUT)
    correlator = replay.actors.correlator
    for _ in correlator.rebuild(replay.last_ns):
        pass
    source = Source(correlator, replay.generation, trace)
    replay.close()
    return source


def from_snapshot(policy: Policy, path: str) -> Source:
    """Look at what a running correlator last saved; needs the key it hashes with."""
    try:
        return _restored(policy, path, lambda key, *given: SnapshotFile(FilePath(path), key).restore(*given))
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", INPUT) from error


def from_server(policy: Policy) -> Source:
    """Look at what the correlator of all hosts last saved with the server they share."""
    remote = policy.compiled.remote
    if remote is None:
        raise Failure("--principal needs either --trace or --snapshot to look at", USAGE)
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.hosts.kept import read_snapshot

    def restore(key: bytes, correlator: Correlator, now_ns: int) -> Iterator[None]:
        found = read_snapshot(remote, key)
        if found is None:
            raise Failure(f"{remote.url}: no correlator has saved anything there yet", INPUT)
        yield from Format(key).take(BytesIO(found), len(found), correlator, now_ns)

    try:
        return _restored(policy, remote.url, restore)
    except StoreError as error:
        raise Failure(f"{remote.url}: {error} [{error.code}]", DEPLOYMENT) from error


def _restored(
    policy: Policy, name: str, restore: Callable[[bytes, Correlator, int], Iterator[None]]
) -> Source:
    spec = _spec_of(policy)
    now_ns = SystemClock().now_ns()
    has_key = wish_of(policy, needs_key=False).key is not None
    # Without a key in the policy it is in the memory that the workers share.
    store = private_store(policy, ManualClock(now_ns)) if has_key else attach(policy)
    try:
        generation = Generation(policy.compiled, store, now_ns, notice=lambda code: None)
        correlator = Correlator(
            Settings(**spec.settings),  # type: ignore[arg-type]  # checked by the policy
            now_ns,
            Columns(spec.principal, spec.kinds, spec.created, spec.costly),
        )
        for _ in restore(store.table.key, correlator, now_ns):
            pass
    except Refused as refusal:
        raise Failure(f"{name}: the snapshot is not used: {refusal.code}", INPUT) from refusal
    finally:
        store.close()
    if generation.knowledge is not None:
        generation.knowledge.tell(correlator)
    return Source(correlator, generation, name)


def explain_principal(source: Source, values: Sequence[str]) -> Told:
    """Return what is to be said of one principal."""
    compiled = source.generation.compiled
    spec = compiled.correlation
    assert spec is not None  # see from_trace
    names = [compiled.identities[position].name for position in spec.principal]
    if len(values) != len(names):
        raise Failure(
            f"a principal is {len(names)} values here ({', '.join(names)}), not {len(values)}", USAGE
        )
    key = principal_key(spec, compiled.identities, source.generation.extractor, values)
    found = None if key is None else source.correlator.explain(key)
    if key is None or found is None:
        raise Failure(f"{source.name}: this principal was not seen, or was forgotten", INPUT)
    kinds = {
        kind: compiled.identities[position].name for kind, position in enumerate(spec.kinds) if position >= 0
    }
    return Told(found, kinds, source.correlator.now_ns)


def _spec_of(policy: Policy) -> CorrelationSpec:
    spec = policy.compiled.correlation
    if spec is None:
        raise Failure("the policy correlates nothing", USAGE, hint="Write `[correlation]` into it.")
    return spec


class Told:
    """An explanation, put into words.

    Args:
        found: the explanation.
        kinds: the policy's name for each kind of identifier.
        now_ns: when that was found.
    """

    def __init__(self, found: Explanation, kinds: dict[int, str], now_ns: int) -> None:
        self._found = found
        self._kinds = kinds
        self._now_ns = now_ns

    def print(self, console: Console) -> None:
        """Write it for people."""
        found = self._found
        head = Text("principal ", "bold") + Text(_hex(found.principal))
        if found.cluster is None:
            head += Text("   in no cluster", "not bold green")
        else:
            head += Text("   in cluster ", "not bold") + Text(_hex(found.cluster), "yellow")
            head += Text(f", {VERDICTS[found.verdict]}", f"not bold {_COLOURS[found.verdict]}")
        say(console, head)
        say(console, Text(self._seen(), "dim"))
        console.print()
        for line in describe_account(found, self._now_ns):
            say(console, Text(line))
        say(console, Text(reason_of(found), "bold"))
        if found.cluster is not None:
            console.print()
            say(console, Text("its actor ", "bold") + Text(self._actor()))
            say(console, Text(found.words))
        console.print()
        console.print(self._identifiers())

    def _seen(self) -> str:
        found = self._found
        return (
            f"{words.count(found.requests, 'request')}, {found.requests_a_day:,.1f} a day, "
            f"from {words.instant(found.first_ns)} to {words.instant(found.last_ns)} UTC"
            + ("" if found.created_ns is None else f", created {words.instant(found.created_ns)}")
        )

    def _actor(self) -> str:
        found = self._found
        said = f"{VERDICTS[found.actor]}, {words.count(found.members, 'member')}"
        if found.since_ns is None:
            return said
        return f"{said}; both there since {words.instant(found.since_ns)} UTC"

    def _identifiers(self) -> Table:
        found = self._found
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("seen with", "hash"):
            table.add_column(title)
        for title in ("accounts", "hours"):
            table.add_column(title, justify="right")
        table.add_column("last seen (UTC)")
        table.add_column("")
        for shared in self._families().values():
            for number, one in enumerate(shared[:MOST_SHOWN]):
                table.add_row(Text(self._kind(one) if number == 0 else "", "bold"), *_cells(one, found))
            if (left := len(shared) - MOST_SHOWN) > 0:
                table.add_row("", Text(f"and {left} more", "dim"))
        return table

    def _families(self) -> dict[int, list[Shared]]:
        """Return what it was seen with by kind: homes first, then what is the actor's, then the latest."""
        kinds: dict[int, list[Shared]] = {}
        for one in sorted(
            self._found.shared, key=lambda one: (one.kind, not one.is_home, not one.is_clusters, -one.last_ns)
        ):
            kinds.setdefault(one.kind, []).append(one)
        return kinds

    def _kind(self, one: Shared) -> str:
        return self._kinds.get(one.kind, one.family)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        found = self._found
        families: dict[Family, list[Shared]] = {}
        for shared in self._families().values():
            families.setdefault(shared[0].family, []).extend(shared)
        return {
            "principal": _hex(found.principal),
            "cluster": None if found.cluster is None else _hex(found.cluster),
            "verdict": VERDICTS[found.verdict],
            "reason": reason_of(found),
            "words": describe_account(found, self._now_ns),
            "actor": None if found.cluster is None else self._actor_json(),
            "first_seen": words.iso(found.first_ns),
            "last_seen": words.iso(found.last_ns),
            "created": None if found.created_ns is None else words.iso(found.created_ns),
            "age": found.age,
            "homes": [_hex(one.hash) for one in found.shared if one.is_home],
            "requests": found.requests,
            "requests_a_day": round(found.requests_a_day, 2),
            "ruling": found.ruling,
            "families": [
                {"family": family, "seen_with": [self._shared_json(one) for one in shared]}
                for family, shared in families.items()
            ],
        }

    def _actor_json(self) -> dict[str, Any]:
        found = self._found
        return {
            "verdict": VERDICTS[found.actor],
            "why": found.why,
            "words": found.words,
            "members": found.members,
            "since": None if found.since_ns is None else words.iso(found.since_ns),
        }

    def _shared_json(self, one: Shared) -> dict[str, Any]:
        return {
            "kind": self._kind(one),
            "hash": _hex(one.hash),
            "principals": one.principals,
            "is_actors": one.is_clusters,
            "is_home": one.is_home,
            "hours": one.hours,
            "span_hours": one.span_h,
            "last_seen": words.iso(one.last_ns),
            "infrastructure": one.is_infrastructure,
        }


def _cells(one: Shared, found: Explanation) -> tuple[Text | str, ...]:
    owner = "the actor's" if found.cluster is not None else "an actor's"
    notes = [
        note
        for note, holds in (
            ("home", one.is_home),
            (owner, one.is_clusters),
            ("infrastructure", one.is_infrastructure),
        )
        if holds
    ]
    style = "green" if one.is_home else "yellow" if one.is_clusters else "dim"
    return (
        Text(short(one.hash), "dim" if one.is_infrastructure else ""),
        f"{one.principals:,}",
        f"{one.hours:,}",
        words.instant(one.last_ns),
        Text(", ".join(notes), style),
    )


def _hex(number: int) -> str:
    return f"{number:016x}"


_COLOURS = ("green", "cyan", "yellow")
"""By verdict."""
