"""An actor with many accounts, found and saved: its evidence is put in without deciding each request."""

from __future__ import annotations

import random
from pathlib import Path

from ratelimit import Limiter
from ratelimit.clustering.snapshot import SnapshotFile
from ratelimit.correlation import Correlator
from ratelimit.stores.embedded.board import snapshot_path
from tests.support.acting import START_NS
from tests.support.campaign import policy_text
from tests.support.time import HostClock

NS = 10**9
HOURS = 8
CARDS = 400
END_NS = START_NS + HOURS * 3600 * NS


def large_actor(folder: Path, accounts: int, neighbours: int = 100) -> Path:
    """Return a policy whose correlator found one actor of so many accounts, and saved.

    As many accounts of people are at places of their own. Some of them, the neighbours, once were at an exit
    of the actor's.
    """
    path = folder / "policy.toml"
    store = f'memory = "{folder / "table"}"\nkeys = 5000'
    path.write_text(policy_text(store=store, principals=4 * accounts, identifiers=12 * accounts), "utf-8")
    limiter = Limiter(path, clock=HostClock(END_NS))
    try:
        compiled = limiter.current.compiled
        spec = compiled.correlation
        assert spec is not None
        correlator = Correlator(spec.settings, START_NS, spec.columns())
        source = random.Random(1)
        hashes = [
            [source.getrandbits(62) & ~1 for _ in range(size)] for size in (accounts, accounts, CARDS, 4000)
        ]
        own, people, cards, exits = hashes
        width = len(limiter.current.extractor.anonymous)
        at = {each.name: each.index for each in compiled.identities}
        networks = [source.getrandbits(62) & ~1 for _ in range(len(exits) // 8)]
        program = source.getrandbits(62)

        def note(account: int, card: int, place: int, network: int, hour: float) -> None:
            row = [-1] * width
            row[at["account"]], row[at["payment"]], row[at["client"]] = account, card, program
            row[at["ip"]], row[at["network"]], row[at["block"]] = place, network, network ^ 2
            correlator.observe(row, START_NS + int(hour * 3600 * NS))

        for hour in range(HOURS):
            for number, account in enumerate(own):
                place = source.randrange(len(exits))
                card = cards[number % len(cards)]
                note(account, card, exits[place], networks[place // 8], hour + number / accounts)
            for number, account in enumerate(people):
                home = account ^ (1 << 40)
                strays = number < neighbours and hour == HOURS - 1
                place = exits[number] if strays else home
                note(account, account ^ (1 << 41), place, place ^ 4, hour + number / accounts)
        for _ in correlator.rebuild(END_NS):
            pass
        place_of_table = limiter.store.place
        assert place_of_table is not None
        file = SnapshotFile(snapshot_path(place_of_table), limiter.store.hasher.key)
        for _ in file.save(correlator, END_NS):
            pass
        file.put_in_place()
    finally:
        limiter.close()
    return path
