"""Findings of `ratelimit doctor` about this installation: versions, the core, the import name, memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import ratelimit
from ratelimit import core
from ratelimit.codes import every_code
from ratelimit.core.memory.table import table_bytes
from ratelimit.correlation.description import DECLARATION
from ratelimit.environment.console_token import CONSOLE_TOKEN, LEAST_TOKEN
from ratelimit.environment.extras import how_to_install
from ratelimit.environment.finding import Fact, Finding
from ratelimit.environment.neighbours import OURS, mending, neighbours, sentence
from ratelimit.errors import StoreError
from ratelimit.inspection.access.memory_owners import as_owner, own_name, owner_of, owners
from ratelimit.inspection.formatting import count, instant, iso
from ratelimit.inspection.requests.explaining import findings
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.stores.embedded.board import SharedBoard
from ratelimit.stores.embedded.folder import LEAST_FREE, SHARED, free_bytes, is_there
from ratelimit.stores.embedded.watched import WatchedStore
from ratelimit.stores.factory import SIGHTINGS, StoreWish, wish_of
from ratelimit.stores.secret import find_text
from ratelimit.telemetry.names import BoardNumber

_WEAK_KEY = 16
"""Characters below which a passphrase can be found by trying."""


def examine_installation() -> Iterator[Finding]:
    """Yield what can be told without a policy."""
    yield Finding(
        "python",
        "ok",
        f"{platform.python_version()} ({platform.python_implementation()}) on {platform.machine()}",
        facts={"python": platform.python_version()},
    )
    yield _distribution()
    yield _import_name()
    yield _core()
    if token := os.environ.get(CONSOLE_TOKEN, ""):
        yield _console_token(len(token))


def examine_policy(policy: Policy) -> Iterator[Finding]:
    """Yield what can be told of a sound policy on this host, without asking a server."""
    if policy.warnings:
        words = count(len(policy.warnings), "warning")
        yield Finding("policy", "warn", f"it can be used, with {words}", "`ratelimit check` shows them.")
    else:
        yield Finding("policy", "ok", "it can be used")
    key = _hash_key(policy.compiled)
    yield key
    if policy.compiled.remote is not None:
        yield _client_library()
    if key.status != "fail":
        yield from _table(policy, wish_of(policy))


def _distribution() -> Finding:
    found = {(each.version, str(each.locate_file(""))) for each in metadata.distributions(name=OURS)}
    versions = sorted({version for version, _ in found})
    place = _folder()
    facts: dict[str, Fact] = {"version": ",".join(versions), "place": str(place)}
    if not versions:
        return Finding(
            OURS, "warn", f"run from {place}, and not installed", f"`pip install {OURS}`", facts=facts
        )
    if len(versions) > 1:
        places = ", ".join(sorted(place for _, place in found))
        return Finding(
            OURS,
            "fail",
            f"{len(versions)} versions are installed: {', '.join(versions)} (in {places})",
            f"Uninstall all of them (`pip uninstall {OURS}` until none is left), and install one.",
            facts=facts,
        )
    return Finding(OURS, "ok", f"{versions[0]} in {place}", facts=facts)


def _import_name() -> Finding:
    others = neighbours()
    if _first_file() is None:
        words, _, advice = sentence().partition(". This mends it: ")
        return Finding("import name", "fail", words, f"`{advice}`", facts={"others": ",".join(others)})
    if not others:
        return Finding("import name", "ok", f"`ratelimit` is {OURS}'s alone")
    ours = _folder().parent
    mixed = [
        name for name in others if Path(str(metadata.distribution(name).locate_file(""))).resolve() == ours
    ]
    listed = ", ".join(f"`{name}`" for name in others)
    verb = "is" if len(others) == 1 else "are"
    words = f"{listed} {verb} installed, too, and imported as `ratelimit`"
    advice = f"`{mending(others)}`"
    facts: dict[str, Fact] = {"others": ",".join(others)}
    if mixed:
        return Finding(
            "import name",
            "fail",
            f"{words}: in the same folder, files of both are mixed",
            advice,
            facts=facts,
        )
    return Finding(
        "import name",
        "warn",
        f"{words}: which of the two a program gets depends on its `sys.path`",
        advice,
        facts=facts,
    )


def _folder() -> Path:
    """Return the package's folder, also where its first file is gone."""
    first = _first_file()
    return (Path(core.__file__).parent if first is None else Path(first)).resolve().parent


def _first_file() -> str | None:
    """Return the package's `__init__.py`; None where it is gone and Python goes by the folder."""
    found: str | None = getattr(ratelimit, "__file__", None)
    return found


def _console_token(length: int) -> Finding:
    if length >= LEAST_TOKEN:
        return Finding("console token", "ok", f"{CONSOLE_TOKEN} is long enough")
    return Finding(
        "console token",
        "fail",
        f"{CONSOLE_TOKEN} has {count(length, 'character')}; `ratelimit console` takes {LEAST_TOKEN} or more",
        "Set a longer one, as `openssl rand -hex 16` makes it, or none: then each start makes its own.",
    )


def _core() -> Finding:
    folder = Path(core.__file__).parent
    names = sorted(".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("*.pyi"))
    broken = []
    for name in names:
        try:
            import_module(f"ratelimit.core.{name}")
        except ImportError as error:
            broken.append(f"{name} ({error})")
    if broken:
        return Finding(
            "core",
            "fail",
            f"{len(broken)} of {len(names)} compiled modules do not load: {broken[0]}",
            f"Install {OURS} again for this Python: `pip install --force-reinstall {OURS}`.",
        )
    return Finding("core", "ok", f"{len(names)} compiled modules load", facts={"modules": len(names)})


def _client_library() -> Finding:
    try:
        version = metadata.version("redis")
        if find_spec("redis.asyncio") is None:
            raise metadata.PackageNotFoundError
    except metadata.PackageNotFoundError:
        return Finding(
            "client",
            "fail",
            "the policy names a server, and the client library is not installed",
            f"`{how_to_install('redis')}`",
        )
    has_parser = find_spec("hiredis") is not None
    parser = "with hiredis" if has_parser else "without hiredis"
    return Finding(
        "client", "ok", f"redis-py {version}, {parser}", facts={"redis": version, "hiredis": has_parser}
    )


def _hash_key(policy: CompiledPolicy) -> Finding:
    spec = policy.hash_key
    if spec is None:
        return Finding("hash key", "ok", "none is named: the first worker on this host makes one")
    place = {"env": f"${spec.value}", "file": spec.value}.get(spec.kind, "the policy file")
    try:
        text = find_text(spec.kind, spec.value)
    except LookupError as error:
        return Finding("hash key", "fail", str(error), "Set it to what `openssl rand -hex 16` prints.")
    if len(text) < _WEAK_KEY:
        return Finding(
            "hash key",
            "warn",
            f"found in {place}, and short enough to be guessed",
            "Use what `openssl rand -hex 16` prints. A new key begins all limits afresh.",
        )
    return Finding("hash key", "ok", f"found in {place}")


def _table(policy: Policy, wish: StoreWish) -> Iterator[Finding]:
    size = table_bytes(wish.keys, wish.block_bytes)
    facts: dict[str, Fact] = {"bytes": size, "keys": wish.keys}
    try:
        place = wish.place
    except StoreError as error:
        yield Finding(
            "table", "fail", f"{error} [{error.code}]", every_code()[error.code].remedy, facts=facts
        )
        return
    if place is None:
        yield Finding(
            "table",
            "ok" if policy.compiled.remote is not None else "warn",
            f"{_mib(size)} of private memory in each process, which counts alone",
            "" if policy.compiled.remote is not None else 'Several workers need `memory = "shared"`.',
            facts=facts,
        )
        yield from findings(policy, None)
        return
    if not is_there(place):
        yield from _memory_to_be(size, place, is_named_by_us=wish.path is None)
        yield from findings(policy, None)
        return
    try:
        store = WatchedStore.shared(
            wish.name or "",
            path=place,
            keys=wish.keys,
            block_bytes=wish.block_bytes,
            key=wish.key,
            mends=False,
        )
    except StoreError as error:
        owner = owner_of(place)
        advice = as_owner([owner]) if owner else every_code()[error.code].remedy
        yield Finding("table", "fail", f"{error} [{error.code}]", advice, facts=facts)
        return
    try:
        stats = store.table.stats(store.clock.now_ns())
        capacity = store.table.capacity
        yield from _correlation(policy, store)
        yield from findings(policy, store)
    finally:
        store.close()
    free = free_bytes(place.parent)
    if free is not None and free < LEAST_FREE:
        yield Finding(
            "shared memory",
            "fail",
            f"{place.parent} has room for {_mib(free)}: limits go on; acts and events cannot be written, "
            "and memory that gets lost cannot be made again",
            "Remove the files that fill it (`du -x` lists them), or give it more (`docker run --shm-size`).",
            facts={"free": free},
        )
    live, evicted = stats["live"], stats["evictions"] + stats["block_evictions"]
    workers = stats["workers"]
    words = f"{_mib(size)} in {place}: {live:,} of {capacity:,} keys, {count(workers, 'worker')}"
    if evicted:
        yield Finding(
            "table",
            "warn",
            f"{words}; {evicted:,} keys were thrown out alive",
            "Raise `keys` in [store] and restart the workers.",
            facts={**facts, "live": live, "evicted": evicted, "workers": workers},
        )
        return
    yield Finding("table", "ok", words, facts={**facts, "live": live, "evicted": 0, "workers": workers})


def _correlation(policy: Policy, store: WatchedStore) -> Iterator[Finding]:
    """Yield whether what the correlator found has room."""
    spec = policy.compiled.correlation
    if spec is None:
        return
    most = spec.settings.clusters
    try:
        shared = SharedBoard.existing(store, principals=spec.settings.principals, sightings=SIGHTINGS)
    except StoreError:
        return  # of another layout: these workers correlate elsewhere
    if shared is None:
        return
    try:
        clusters, unlabelled, young, grown_up_s = map(
            shared.board.number,
            (BoardNumber.CLUSTERS, BoardNumber.UNLABELLED, BoardNumber.YOUNG, BoardNumber.GROWN_UP_S),
        )
    finally:
        shared.close()
    facts: dict[str, Fact] = {"clusters": clusters, "most": most, "unlabelled": unlabelled}
    if young:
        yield Finding(
            "young actors",
            "warn",
            f"{young:,} certain actors of new accounts have a budget for every few payment methods; "
            f"the first has one budget from {instant(grown_up_s * 10**9)} UTC on",
            "`ratelimit show actors` lists them. Declare those that you know under [correlation.known]: "
            f"{DECLARATION}.",
            facts={"young": young, "first_until": iso(grown_up_s * 10**9)},
        )
    if unlabelled:
        yield Finding(
            "actors",
            "warn",
            f"{unlabelled:,} more actors were found than the {most:,} that there is room for; those that "
            "cost their owners least have no verdict",
            "`ratelimit show actors` lists the others. Raise `clusters` in the file of `tuning`.",
            facts=facts,
        )
        return
    yield Finding("actors", "ok", f"{clusters:,} of {most:,} that there is room for", facts=facts)


def _memory_to_be(size: int, place: Path, *, is_named_by_us: bool) -> Iterator[Finding]:
    """Yield what can be told of memory that this user's workers have not made yet."""
    if is_named_by_us and SHARED.is_dir() and not os.access(SHARED, os.W_OK | os.X_OK):
        yield Finding(
            "shared memory",
            "fail" if SHARED in place.parents else "warn",
            f"{SHARED} cannot be written to by {own_name()}: mounted read-only?",
            f"Mount it for writing, or name a file in memory as `memory`; now it is in {place.parent}.",
        )
    found = _room(size, place, is_named_by_us=is_named_by_us)
    others = owners(place.name) if is_named_by_us else []
    if found.status == "ok" and others:
        found = replace(found, status="warn", advice=as_owner(others))
    yield found


def _room(size: int, place: Path, *, is_named_by_us: bool) -> Finding:
    folder = place.parent
    if is_named_by_us and not is_there(folder):
        folder = folder.parent  # the first worker makes the other
    facts: dict[str, Fact] = {"bytes": size}
    if is_there(folder) and not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "table",
            "fail",
            f"{folder} cannot be written to by {own_name()}: mounted read-only, or another user's?",
            "Mount it for writing, or give another `path`.",
            facts=facts,
        )
    try:
        room = os.statvfs(folder)
    except OSError as error:
        return Finding(
            "table",
            "fail",
            f"{folder} cannot be used: {error.strerror}",
            "Make it, or give another `path`.",
            facts=facts,
        )
    free = room.f_bavail * room.f_frsize
    if free < size:
        return Finding(
            "table",
            "fail",
            f"it takes {_mib(size)}, and {folder} has room for {_mib(free)}",
            "Give it more (`docker run --shm-size`), lower `keys`, or name another `path`.",
            facts={**facts, "free": free},
        )
    return Finding(
        "table",
        "ok",
        f"it will take {_mib(size)} of {_mib(free)} free in {folder}; no worker of {own_name()} has run "
        "on this host yet",
        facts={**facts, "free": free},
    )


def _mib(octets: int) -> str:
    return f"{octets / (1 << 20):,.0f} MiB" if octets >= 1 << 20 else f"{octets / 1024:,.0f} KiB"
