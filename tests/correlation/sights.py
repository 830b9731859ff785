"""Sightings for a correlator under test: made-up identities, people, and actors among them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ratelimit.core.clusters.sighting import Columns
from ratelimit.correlation import Correlator, Settings
from ratelimit.identity.fact import ABSENT

NS = 1_000_000_000
START_S = 1_800_000_000
HOUR_S = 3600
DAY_S = 86400

POSITIONS = tuple(range(1, 9))
"""Where rows have address, network, payment, client, three more families, and block."""
CREATED_AT = 9
SIZES = {"principals": 4000, "identifiers": 16000, "clusters": 64}


def columns(*, created: bool = True, costly: Iterable[int] = (), named: bool = False) -> Columns:
    """Return where rows have what the correlator looks at: the principal first."""
    return Columns((0,), POSITIONS, CREATED_AT if created else -1, tuple(costly), named=named)


def hashed(kind: str, value: object) -> int:
    """Return what stands for a value in a row: 64 bits, the same whenever asked."""
    return random.Random(f"{kind}/{value}").getrandbits(63) & ~1 | 2


def row(account: object, **given: Any) -> list[int]:
    """Return a row; `address` is text like 10.1.2.3, and its network and block follow from it."""
    address = given.get("address")
    found = [ABSENT] * 10
    found[0] = hashed("account", account)
    if address is not None:
        parts = str(address).split(".")
        found[1] = hashed("ip", address)
        found[2] = hashed("network", ".".join(parts[:3]))
        found[8] = hashed("block", ".".join(parts[:2]))
    for position, name in ((3, "payment"), (4, "client"), (5, "device"), (6, "template"), (7, "domain")):
        if given.get(name) is not None:
            found[position] = hashed(name, given[name])
    if given.get("created_s") is not None:
        found[CREATED_AT] = int(given["created_s"])
    return found


def correlator(
    now_s: int = START_S, *, created: bool = True, costly: Iterable[int] = (), **changed: Any
) -> Correlator:
    """Return a correlator with the default numbers, but for these."""
    return Correlator(Settings(**(SIZES | changed)), now_s * NS, columns(created=created, costly=costly))


@dataclass(frozen=True, slots=True)
class Sight:
    """One request, as the correlator sees it."""

    at_s: float
    account: str
    row: list[int]
    refused: bool = False


def show(one: Correlator, sights: list[Sight], *, rebuilds: bool = True) -> None:
    """Let a correlator see requests in their order, rebuilding when due."""
    for sight in sights:
        now_ns = int(sight.at_s * NS)
        one.observe(sight.row, now_ns)
        if rebuilds and one.is_due(now_ns):
            rebuild(one, sight.at_s)


def rebuild(one: Correlator, at_s: float) -> int:
    """Rebuild at once; return in how many slices."""
    return sum(1 for _ in one.rebuild(int(at_s * NS)))


def clusters(one: Correlator) -> list[set[int]]:
    """Return the accounts that are in a cluster together, the largest first."""
    return sorted((set(keys) for keys in one.members().values()), key=lambda keys: (-len(keys), min(keys)))


def verdicts(one: Correlator) -> dict[int, int]:
    """Return what is inferred of each member, by key."""
    return {key: verdict for _, key, verdict in one.core.members(0, one.evidence.principal_count)}


def key_of(name: object) -> int:
    """Return an account's key."""
    return hashed("account", name)


def keys_of(names: Iterable[object]) -> set[int]:
    """Return the keys of some accounts."""
    return {key_of(name) for name in names}


def crowd(
    accounts: int,
    rng: random.Random,
    *,
    hours: float = 6.0,
    requests: int = 12,
    created_s: int | None = START_S - 400 * DAY_S,
) -> list[Sight]:
    """Return unrelated people: a home each and a phone, a card of their own, one of thirty clients."""
    sights = []
    for number in range(accounts):
        name = f"honest-{number}"
        client = f"build-{min(29, int(rng.expovariate(0.15)))}"
        home = f"20.{number // 250}.{number % 250}.7"
        volume = max(1, round(requests * rng.lognormvariate(-0.4, 0.9)))
        for _ in range(volume):
            away = rng.random() < 0.2
            address = f"21.{rng.randrange(4)}.{rng.randrange(200)}.{rng.randrange(8)}" if away else home
            at_s = START_S + rng.random() * hours * HOUR_S
            seen = row(name, address=address, payment=f"card of {name}", client=client, created_s=created_s)
            sights.append(Sight(at_s, name, seen))
    return sights


def exit_of(number: int, name: str = "bad") -> str:
    """Return an address of an actor's: each in a network of its own, eight of them in a block."""
    return f"{40 + len(name) % 7}.{number // 8 % 250}.{number % 250}.{1 + number % 199}"


def campaign(
    accounts: int,
    rng: random.Random,
    *,
    name: str = "bad",
    per_card: int = 5,
    exits: int = 500,
    hours: float = 6.0,
    requests: int = 12,
    created_s: int | None = START_S,
) -> list[Sight]:
    """Return one actor: cards of a few accounts each, exits of many networks that all use, two clients."""
    sights = []
    for number in range(accounts):
        account = f"{name}-{number}"
        for _ in range(round(requests * rng.uniform(0.7, 1.3))):
            given = {"payment": f"{name} card {number // per_card}", "client": f"{name} build {number % 2}"}
            at_s = START_S + rng.random() * hours * HOUR_S
            seen = row(account, address=exit_of(rng.randrange(exits), name), created_s=created_s, **given)
            sights.append(Sight(at_s, account, seen))
    return sights


def together(*parts: list[Sight]) -> list[Sight]:
    """Return several people's requests by time."""
    return sorted((sight for part in parts for sight in part), key=lambda sight: sight.at_s)


def later(sights: list[Sight], seconds: float) -> list[Sight]:
    """Return the same requests at a later time."""
    return [replace(sight, at_s=sight.at_s + seconds) for sight in sights]


def mixed(seed: int = 1, honest: int = 400, bad: int = 100, *, hours: float = 6.0) -> list[Sight]:
    """Return a crowd with one actor in it."""
    rng = random.Random(seed)
    return together(crowd(honest, rng, hours=hours), campaign(bad, rng, hours=hours))
