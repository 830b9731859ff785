"""Records of payers on hosts that share a server: joined on all of them, and none waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit.allowance.records import RECORD_BYTES, Records, Standing
from ratelimit.allowance.server import ServerRecords
from ratelimit.allowance.stage import AllowancePart
from ratelimit.limiter import Limiter
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.redis.sharing import kept_up, remote_of

DAY = 86_400
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "6/minute"
[store]
keys = 1000
url = "{url}"
prefix = "records"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    with kept_up(
        POLICY, server, tmp_path, lambda one: one.runtime.part(AllowancePart).records_memory()
    ) as found:
        yield found


def of(limiter: Limiter) -> tuple[Records, int]:
    return limiter.runtime.part(AllowancePart).records_memory(), limiter.now_ns() // 10**9


def test_allowance_is_the_same_on_both_hosts_within_seconds(hosts: list[Limiter]) -> None:
    (one, now), (other, _) = of(hosts[0]), of(hosts[1])
    # Hosts tell what changes of a key from its second day on.
    for day, used, paid in ((45, 900, 300_000_000), (44, 3000, 200_000_000)):
        one.see(7, 1, 100, 0, now - day * DAY)
        one.note(7, used, now - day * DAY)
        one.see_paid(7, paid, 0, now - day * DAY)
    for day, used in ((50, 300), (49, 900)):
        other.see(7, 2, 200, 0, now - day * DAY)
        other.note(7, used, now - day * DAY)
    for day, paid in ((36, 150_000_000), (35, 100_000_000)):
        other.see_paid(7, paid, 0, now - day * DAY)
    best = one.best(7, now)
    assert 2700 < best <= 3000
    until(lambda: other.best(7, now) == best, "the other host to know the best day")
    until(lambda: 0 < other.settled(7, now) == one.settled(7, now), "both to know what was paid")
    assert 91_000_000 < one.settled(7, now) <= 100_000_000
    until(lambda: one.days == other.days == (now // DAY - 50,) * 2, "both to know the earliest day")
    # Accounts and places, too.
    until(lambda: other.see(7, 1, 300, 0, now) == 0, "the other host to know the account")
    assert other.see(7, 3, 100, 0, now) == 0
    assert other.see(7, 4, 999, 0, now) == Standing.ELSEWHERE


def test_server_that_is_away_is_told_when_it_is_back(hosts: list[Limiter], server: Server) -> None:
    (one, now), (other, _) = of(hosts[0]), of(hosts[1])
    server.kill()
    for day, used in ((46, 900), (45, 3000)):
        one.see(7, 1, 100, now - 90 * DAY, now - day * DAY)
        one.note(7, used, now - day * DAY)
    assert one.best(7, now) > 2700  # a host goes by its own
    server.start()
    until(lambda: other.best(7, now) > 2700, "the other host to know")


def test_server_joins_as_memory_does(server: Server, tmp_path: Path) -> None:
    """The script's rules are those of `allowance.records`, for any two records."""
    from random import Random

    from tests.allowance.test_records import NOW, exported, records

    server.client.flushall()
    remote = remote_of(POLICY, server, tmp_path)
    assert remote is not None
    random, host, reader = Random(4), ServerRecords(remote, 1000), ServerRecords(remote, 1000)
    try:
        everywhere, there = records(), records()
        for _ in range(40):
            here = records()
            for _ in range(10):
                now = NOW + random.randrange(120) * DAY
                payer = random.randrange(1, 6)
                here.see(payer, random.randrange(4), random.randrange(3), 0, now)
                here.note(payer, random.random() * 5000, now)
                here.see_paid(payer, random.randrange(10**9), 0, now)
            everywhere.take_in(exported(here), NOW)
            host.exchange(exported(here), here.days, NOW)
            there.take_in(reader.exchange(b"", (0, 0), NOW)[0], NOW)
        sliced = [
            sorted(
                exported(each)[at : at + RECORD_BYTES] for at in range(0, len(exported(each)), RECORD_BYTES)
            )
            for each in (everywhere, there)
        ]
        assert sliced[0] == sliced[1]
    finally:
        host.close()
        reader.close()


def test_full_server_takes_no_fresh_key_in_place_of_a_payer(server: Server, tmp_path: Path) -> None:
    from tests.allowance.test_records import NOW, exported, records

    server.client.flushall()
    remote = remote_of(POLICY, server, tmp_path)
    assert remote is not None
    host, reader = ServerRecords(remote, 20), ServerRecords(remote, 20)
    try:
        old, flood, back = records(), records(), records()
        old.note(7, 3000, NOW - 45 * DAY)
        host.exchange(exported(old), old.days, NOW)
        for payer in range(100, 700):
            flood.see(payer, 0, 0, 0, NOW)
        host.exchange(exported(flood), flood.days, NOW)
        assert server.client.zcard("{records}:records:changes") == 120
        found, _ = reader.exchange(b"", (0, 0), NOW)
        back.take_in(found, NOW)
        assert back.best(7, NOW) == old.best(7, NOW) > 0
        # Seventy days later what is silent makes room.
        later = NOW + 80 * DAY
        fresh = records()
        fresh.see(9, 0, 0, 0, later)
        host.exchange(exported(fresh), fresh.days, later)
        assert server.client.zcard("{records}:records:changes") == 120
        assert len(reader.exchange(b"", (0, 0), later)[0]) == RECORD_BYTES
    finally:
        host.close()
        reader.close()
