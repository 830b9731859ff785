"""Conduct on hosts that share a server: every strike counts once, on all of them, and none waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from ratelimit.conduct import server as server_conduct
from ratelimit.conduct.following import ConductFollower
from ratelimit.conduct.model.strikes import SECOND_NS, News, Strike, factor, merge, strike
from ratelimit.conduct.server import ServerConduct
from ratelimit.conduct.stage import conduct_of
from ratelimit.limiter import Limiter
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.redis.sharing import kept_up, parts, remote_of

NOW = 1_700_000_000 * SECOND_NS
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "6/minute"
adaptive = true
[store]
keys = 1000
url = "{url}"
prefix = "conduct"
memory = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def host(server: Server, tmp_path: Path) -> Iterator[Callable[[], ServerConduct]]:
    """Return what makes a host's part in what is remembered."""
    server.client.flushall()
    with parts(ServerConduct, remote_of(POLICY, server, tmp_path)) as make:
        yield make


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    with kept_up(POLICY, server, tmp_path) as found:
        yield found


def factor_on(limiter: Limiter, key: int) -> float:
    conduct = conduct_of(limiter.current)
    assert conduct is not None
    return conduct.standing(key, 0, limiter.now_ns()).factor


def test_server_strikes_as_the_host_does(host: Callable[[], ServerConduct]) -> None:
    """The script's words are those of `adaptive.conduct`, bit by bit."""
    server = host()
    random, words, now_ns = Random(16), dict.fromkeys(range(1, 5), 0), NOW
    known: dict[int, int] = {}
    for _ in range(300):
        now_ns += random.choice((0, 1, 30, 61, 600, 40_000, 500_000)) * SECOND_NS
        key, kind = random.choice(list(words)), random.choice(list(Strike))
        words[key] = strike(words[key], kind, now_ns)
        for shared in server.exchange([News(now_ns, key, kind)]):
            known[shared.key] = shared.word
        assert known.get(key, 0) == words[key]


def test_strike_on_one_host_lowers_limits_on_the_other(hosts: list[Limiter]) -> None:
    conduct = conduct_of(hosts[0].current)
    assert conduct is not None
    assert conduct.strike(7, Strike.PERSISTS, hosts[0].now_ns())
    assert factor_on(hosts[0], 7) == pytest.approx(0.5, abs=0.01)  # at once where it was seen
    until(lambda: factor_on(hosts[1], 7) < 0.51, "the other host to know")
    assert factor_on(hosts[1], 8) == 1.0


def test_strikes_on_two_hosts_at_one_instant_both_count(host: Callable[[], ServerConduct]) -> None:
    one, other = host(), host()
    one.exchange([News(NOW, 7, Strike.PERSISTS)])
    other.exchange([News(NOW, 7, Strike.GROWS)])
    (seen,) = one.exchange([])
    (also,) = host().exchange([])  # a host that was not there
    assert seen == also
    assert factor(seen.word, NOW) == pytest.approx(0.25, abs=0.01)


def test_member_that_two_hosts_see_is_struck_once(host: Callable[[], ServerConduct]) -> None:
    one, other = host(), host()
    one.exchange([News(NOW, 7, Strike.SURER, 99)])
    other.exchange([News(NOW + 90 * SECOND_NS, 7, Strike.SURER, 99)])
    found = {shared.key: shared for shared in host().exchange([])}
    assert found[7].owner == 99
    assert found[7].word == strike(0, Strike.SURER, NOW)
    assert found[99].word == strike(0, Strike.GROWS, NOW)


def test_conduct_goes_along_when_clusters_merge(host: Callable[[], ServerConduct]) -> None:
    server, later = host(), NOW + 120 * SECOND_NS
    server.exchange([News(NOW, 7, Strike.SURER, 99), News(NOW, 8, Strike.SURER, 55)])
    server.exchange([News(later, 99, Strike.GROWS), News(later, 7, Strike.SURER, 55)])
    found = {shared.key: shared for shared in host().exchange([])}
    was, joined = strike(strike(0, Strike.GROWS, NOW), Strike.GROWS, later), strike(0, Strike.GROWS, NOW)
    assert found[55].word == merge(was, joined, later)
    assert found[7].owner == 55


def test_server_that_is_away_leaves_each_host_its_own_and_is_told_later(
    hosts: list[Limiter], server: Server
) -> None:
    conduct = conduct_of(hosts[0].current)
    assert conduct is not None
    server.kill()
    try:
        conduct.strike(7, Strike.PERSISTS, hosts[0].now_ns())
        follower = ConductFollower()
        follower.look(hosts[0], is_reader=True)
        follower.disconnect()
        assert factor_on(hosts[0], 7) < 0.51
        assert factor_on(hosts[1], 7) == 1.0
    finally:
        server.start()
    until(lambda: factor_on(hosts[1], 7) < 0.51, "what struck meanwhile to be told")


def test_server_that_lost_its_memory_is_read_anew(host: Callable[[], ServerConduct], server: Server) -> None:
    mine, theirs = host(), host()
    for key in range(1, 6):
        mine.exchange([News(NOW, key, Strike.PERSISTS)])
    server.client.flushall()
    theirs.exchange([News(NOW, 9, Strike.PERSISTS)])
    assert [shared.key for shared in mine.exchange([])] == [9]


def test_server_remembers_so_many_and_forgets_what_struck_first(
    host: Callable[[], ServerConduct], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_conduct, "MOST_KEYS", 10)
    told = host()
    for key in range(1, 31):
        told.exchange([News(NOW, key, Strike.PERSISTS)])
    assert server.client.hlen("{conduct}:conduct") == 10
    assert sorted(shared.key for shared in host().exchange([])) == list(range(21, 31))
    assert server.client.pttl("{conduct}:conduct") > 0


def test_reply_is_bounded_and_goes_on_with_the_next(
    host: Callable[[], ServerConduct], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_conduct, "MOST_READ", 4)
    host().exchange([News(NOW, key, Strike.PERSISTS) for key in range(1, 11)])
    reader, seen = host(), []
    while found := reader.exchange([]):
        assert len(found) <= 4
        seen += [shared.key for shared in found]
    assert seen == list(range(1, 11))
