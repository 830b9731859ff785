"""Who took most right now: the hour under way is that of all hosts, and a host that is silent is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import time_ns

import pytest

from ratelimit.inspection.callers.takings import HourTaken, Takings, bounds_of, takings_within, took_most
from ratelimit.inspection.hosts.moment import hosts_of
from ratelimit.inspection.journal.entries import HOUR_NS
from ratelimit.policy import Policy
from tests.console.driving import reading
from tests.night.test_customer import told
from tests.night.two_hosts import Host, two_hosts
from tests.support.redis.patience import until
from tests.support.redis.server import Server

ADDRESS = "203.0.113.9"


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Return the host that a person asks, and one beside it, in an hour that has a minute left."""
    until(lambda: HOUR_NS - time_ns() % HOUR_NS > 60 * 10**9, "the next hour", patience_s=90)
    server.client.flushall()
    with two_hosts(tmp_path, server.url) as (here, there):
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        yield here, there


def ask(host: Host, account: str, path: str, times: int) -> None:
    async def asked() -> None:
        headers = [(b"x-api-key", account.encode())]
        for _ in range(times):
            await host.client("GET", path, headers, peer=ADDRESS)
        await host.limiter.aclose_connections()

    asyncio.run(asked())


def units(found: Takings, limit: str) -> list[int]:
    return [each.units for each in found.limits.get(limit, ())]


def test_hour_under_way_is_that_of_all_hosts(hosts: tuple[Host, Host]) -> None:
    """Hazard: the caller of the other host, who takes most tonight, is seen when the hour has ended."""
    here, there = hosts
    ask(there, "c-1", "/account", 1)
    ask(here, "c-1", "/account", 1)
    ask(here, "c-2", "/account", 1)
    policy = Policy.load(here.path)
    found = took_most(policy, policy, "1h")
    assert units(found, "requests") == [2, 1]
    assert not found.trouble
    (most, _) = (each.as_json() for each in found.limits["requests"])
    assert (most["took_at_least"], most["unit"], most["is_actor"]) == (2, "requests", False)
    assert units(took_most(policy, policy, "7d"), "requests") == [2, 1]
    assert units(took_most(policy, policy, "yesterday"), "requests") == []
    with reading(here.path) as reader:
        page = reader.get("/took?since=1h&limit=requests")
        assert ">2<" in page.html
        assert "of this host alone" not in page.text


def test_hour_that_has_ended_is_not_counted_twice(hosts: tuple[Host, Host]) -> None:
    """Hazard: a look from before the full hour beside what the host noted a moment later."""
    here, _ = hosts
    ask(here, "c-1", "/account", 2)
    policy = Policy.load(here.path)
    with hosts_of(policy) as known:
        moment = known.look()
    begin_ns, end_ns = bounds_of("1h", moment.at_ns)
    once = takings_within(policy.compiled, [], moment, begin_ns, end_ns)
    name, caller = moment.hosts[0].host, once.limits["requests"][0].hash
    noted = HourTaken(moment.hosts[0].hour * HOUR_NS, name, {"requests": {caller: 2}})
    both = takings_within(policy.compiled, [noted], moment, begin_ns, end_ns)
    assert units(once, "requests") == units(both, "requests") == [2]


@pytest.mark.usefixtures("brief_commands")
def test_server_that_is_away_leaves_this_host_and_says_so(hosts: tuple[Host, Host], server: Server) -> None:
    here, there = hosts
    ask(there, "c-1", "/account", 2)
    ask(here, "c-2", "/account", 1)
    server.kill()
    try:
        policy = Policy.load(here.path)
        found = took_most(policy, policy, "1h")
    finally:
        server.start()
    assert units(found, "requests") == [1]
    assert "of this host alone" in found.trouble
