"""What callers took where a server decides: each host notes its own requests, whatever decided them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.core.memory.takings import takings_in
from ratelimit.events import Event
from ratelimit.inspection.callers.takings import hours_taken
from ratelimit.inspection.journal.entries import journal_of
from ratelimit.policy import Policy
from ratelimit.stores.journal import takings_of
from ratelimit.worker.journal import JournalFollower
from tests.redis.test_journal import World
from tests.redis.test_journal import world as world
from tests.support.redis.live import Live, LiveLimiter
from tests.support.redis.server import Server

NS = 10**9
HOUR_NS = 3600 * NS


def units(limiter: Live) -> int:
    """Return what was taken within the present hour and the one before, should one end meanwhile."""
    hour = limiter.now_ns() // HOUR_NS
    return sum(each[2] for at in (hour - 1, hour) for each in takings_in(limiter.table, at))


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_hosts_note_what_they_admitted_themselves(
    server: Server, open_limiter: LiveLimiter, mode: str
) -> None:
    """Hazard: units that are counted on arrival and again by the answer, or for refused requests."""
    text = 'per = "account"\nrate = "40/day"\nburst = 40'
    one, other = (open_limiter(server.url, text, mode=mode) for _ in range(2))
    admitted = [await each.admitted(30) for each in (one, other)]
    assert sum(admitted) <= 40
    assert [units(one), units(other)] == admitted
    await one.look()
    assert units(one) == admitted[0]


async def test_a_settled_cost_is_what_was_taken(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(
        server.url, 'per = "account"\nrate = "1000/day"\nburst = 1000\nunit = "credits"\ncost = 0'
    )
    decision = await limiter.ask(costs={"credits": 300})
    assert units(limiter) == 300
    decision.settle(credits=120)
    assert units(limiter) == 120


def test_takings_of_all_hosts_are_read_on_each(world: World, tmp_path: Path) -> None:
    for number, name in enumerate("ab", 1):
        fields = {"begin": HOUR_NS // NS, "limits": {"requests": {f"{7:016x}": number}}}
        takings_of(tmp_path / name).append([Event("takings", 2 * HOUR_NS, name, 7, fields).json().encode()])
        JournalFollower(tmp_path / name).look(world.acts, 2 * HOUR_NS)
    with journal_of(Policy.load(world.path)) as journal:  # on host a
        found = hours_taken(journal, 0)
    assert sorted((each.host, each.limits["requests"][7]) for each in found) == [("a", 1), ("b", 2)]
