"""Limits that follow the load, on hosts that share a server: one for a back end, and safe without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from ratelimit import Limiter
from ratelimit.core.sharing.steering import Steering
from ratelimit.errors import StoreError
from ratelimit.load.model.hosts import Holding, HostMessage, Steered, lease
from ratelimit.load.server import ServerLoad
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.redis.sharing import kept_up, parts, remote_of

POLICY = """\
version = 1
[adaptive]
first_byte = "1s"
in_flight = [1, 12, 400]
[store]
keys = 1000
url = "{url}"
prefix = "load"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def link(server: Server, tmp_path: Path) -> Iterator[Callable[[], ServerLoad]]:
    """Return what makes a host's part in what the server knows."""
    server.client.flushall()
    with parts(ServerLoad, remote_of(POLICY, server, tmp_path)) as make:
        yield make


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    with kept_up(POLICY, server, tmp_path) as found:
        yield found


def test_server_leases_as_the_model_does(link: Callable[[], ServerLoad]) -> None:
    """The script's numbers are those of `load.model.hosts`."""
    server, random = link(), Random(28)
    holds: dict[str, Holding] = {}
    for _ in range(200):
        name = random.choice("abcde")
        unanswered, wanted = random.randrange(12), random.choice((0, 0, 3, 40))
        demand, waiting = round(random.random() * 50, 3), random.randrange(40)
        others = [one for other, one in holds.items() if other != name]
        found = server.exchange(
            "default", name, HostMessage(unanswered=unanswered, wanted=wanted, demand=demand), waiting
        )
        leased, share = lease(others, unanswered, wanted, demand, waiting)
        assert (found.lease, found.share) == (leased, pytest.approx(share))
        assert set(found.hosts) == set(holds) - {name}
        holds[name] = Holding(max(leased, unanswered), wanted, demand)


def test_message_comes_to_the_others_as_it_was_said(link: Callable[[], ServerLoad]) -> None:
    told = HostMessage(
        3,
        9,
        4,
        2,
        1.5,
        7,
        8,
        99,
        ((5, 4, 3, 2, True),),
        Steered(1, (400, 20, 9, 7, 5, 3, 1), 0.5, 10**9, (1.0, 2.5)),
        entered=12,
    )
    one, other = link(), link()
    one.exchange("default", "one", told, 20)
    assert other.exchange("default", "other", HostMessage(), 20).hosts["one"][1] == told
    assert not other.exchange("embeddings", "other", HostMessage(), 20).hosts  # another back end
    one.leave("default", "one")
    assert not other.exchange("default", "other", HostMessage(), 20).hosts


def test_message_that_is_not_ours_is_left_out(server: Server, link: Callable[[], ServerLoad]) -> None:
    """Hazard: another release, or a damaged field."""
    mine = link()
    mine.exchange("default", "mine", HostMessage(), 20)
    (key,) = server.client.keys("*load:default*")
    now_ms = int(server.client.hget(key, "mine").split()[0])
    for name, said in (("a", b"%d 1 0 1 {" % now_ms), ("b", b"rubbish"), ("c", b"%d 1 0 x {}" % now_ms)):
        server.client.hset(key, name, said)
    assert not mine.exchange("default", "mine", HostMessage(), 20).hosts
    assert 0 < server.client.pttl(key) <= 10_000


def test_two_hosts_have_together_what_one_has(hosts: list[Limiter]) -> None:
    flights = [limiter.load.flight for limiter in hosts if limiter.load is not None]
    one, other = hosts

    def entered(limiter: Limiter, of: int) -> int:
        load = limiter.load
        assert load is not None
        found = 0
        for _ in range(of):
            if load.flight.has_room(limiter.now_ns()):
                load.flight.enter(limiter.now_ns())
                found += 1
        return found

    until(
        lambda: (
            all(one.load and one.load.flight.follows(one.now_ns()) for one in hosts[1:])
            or all(each.load and each.load.flight.follows(each.now_ns()) for each in hosts[:1])
        ),
        "one host to follow",
    )
    entered(one, 50)
    until(
        lambda: flights[1].together(other.now_ns())[1] >= flights[0].counts(one.now_ns())[1] > 0,
        "the other to hear",
    )
    for _ in range(3):
        entered(other, 50)
        entered(one, 50)
    together = sum(flight.counts(limiter.now_ns())[1] for flight, limiter in zip(flights, hosts, strict=True))
    assert 6 <= together <= 15  # 12, and one more at each while it was calm


def test_server_that_is_away_leaves_each_host_its_part(hosts: list[Limiter], server: Server) -> None:
    def followers() -> int:
        return sum(each.load is not None and each.load.flight.follows(each.now_ns()) for each in hosts)

    until(
        lambda: (
            followers() == 1
            and all(each.load is not None and Steering(each.load.flight).part < 1.0 for each in hosts)
        ),
        "both to have heard, and one to follow",
    )
    server.kill()
    try:
        until(lambda: followers() == 0, "each to steer by itself")
        for limiter in hosts:
            load = limiter.load
            assert load is not None
            found = 0
            while found < 50 and load.flight.has_room(limiter.now_ns()):
                load.flight.enter(limiter.now_ns())
                found += 1
            assert 4 <= found <= 8  # its part of 12 by demand, and neither nothing nor all
    finally:
        server.start()
    until(lambda: followers() == 1, "one to follow again")


def test_exchange_with_a_server_that_is_away_says_so(server: Server, link: Callable[[], ServerLoad]) -> None:
    mine = link()
    server.kill()
    try:
        with pytest.raises(StoreError):
            mine.exchange("default", "mine", HostMessage(), 20)
    finally:
        server.start()
