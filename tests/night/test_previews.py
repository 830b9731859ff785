"""Previews of acts on an actor: how many accounts, and what all hosts refused of it, from either host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit.clock import SystemClock
from ratelimit.clustering.snapshot import Format
from ratelimit.correlation import Correlator
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.chunked import Chunked
from ratelimit.stores.redis.hosts.entries import mark_of
from ratelimit.stores.redis.hosts.keys import Places
from tests.cli.running import run
from tests.console.driving import reading
from tests.night.test_customer import told
from tests.night.two_hosts import Host, two_hosts
from tests.support.acting import BOTS, NS
from tests.support.campaign import NUMBERS, campaign
from tests.support.redis.live import plain
from tests.support.redis.patience import until
from tests.support.redis.server import Server

HOURS_NS = 9 * 3600 * NS
PLACES = Places("night")


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Return two hosts, of which the correlator of both found the campaign's sixty accounts."""
    server.client.flushall()
    with two_hosts(tmp_path, server.url, NUMBERS.format(2_000, 10_000, "")) as (here, there):
        actor = asyncio.run(found(here, server))
        for each in (here, there):
            each.be_one_actor(*BOTS, actor=actor)
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        yield here, there


async def found(host: Host, server: Server) -> int:
    """Have the server keep what a correlator knows after the campaign; return the actor that it found."""
    bound, now_ns = host.limiter.current, SystemClock().now_ns()
    spec, key = bound.compiled.correlation, host.limiter.store.hasher.key
    assert spec is not None
    correlator = Correlator(spec.settings, now_ns - HOURS_NS, spec.columns())
    for each in campaign():
        row = bound.extractor.extract(each.headers, each.address)
        correlator.observe(row, now_ns - HOURS_NS + round(each.at_s * NS))
    for _ in correlator.rebuild(now_ns):
        pass
    client = plain(server.url)
    await client.set(PLACES.term, 1)
    chunked = Chunked(PLACES, PLACES.snapshot, mark_of(fingerprint_of(key)), key)
    await chunked.write(client, 1, [*Format(key).parts(correlator, now_ns)])
    await client.aclose()
    (actor,) = correlator.identities.values()
    return actor


async def refused(host: Host, account: str, times: int) -> int:
    headers = [(b"x-api-key", account.encode())]
    statuses = [(await host.client("GET", "/actor", headers)).status for _ in range(times)]
    await host.limiter.aclose_connections()
    return statuses.count(429)


def test_clear_and_merge_are_weighed_by_all_hosts(hosts: tuple[Host, Host], server: Server) -> None:
    """Hazard: an act that would free sixty accounts is weighed by what one of two hosts refused."""
    here, there = hosts
    assert asyncio.run(refused(there, "bot1", 5)) == 3
    assert asyncio.run(refused(here, "bot2", 4)) == 4
    asked = (
        (("clear", "bot3"), ["frees 60 accounts"]),
        (("merge", "bot3", "person1", "person2"), ["one actor of 62", "2 accounts more are bound"]),
        (("split", "bot3", "bot4", "bot5"), ["2 accounts of actor", "58 accounts stay"]),
    )
    at_ms = time.time_ns() // 1_000_000 - 300_000
    gone = f'{at_ms} {{"host": "gone", "digest": "", "workers": 3}}'
    for missing in ("", "; no answer from gone"):
        if missing:
            server.client.hset(PLACES.acts_applied, "gone 1", gone)
        for host in hosts:
            for (kind, *accounts), words in asked:
                does = told(host, kind, *accounts, "--dry-run")["does"]
                (times,) = [each for each in does if each.startswith("`one actor` refused")]
                assert " 7 times within the last hour, " in times, (kind, times)
                assert " in the last minute, on " in times, (kind, times)
                assert times.endswith(missing) if missing else "no answer" not in times, (kind, times)
                for each in words:
                    assert any(each in one for one in does), (kind, each, does)
            with reading(host.path) as pages:
                shown = pages.find("bot3")
                said = pages.send(next(form for form in shown.forms if ("kind", "clear") in form.fields)).text
                assert "frees 60 accounts" in said
                assert " 7 times within the last hour, " in said
                assert missing in said
    act = run("act", "clear", here.path, "bot3", "--json")
    assert act.exit_code == 4, act.output  # the host that is gone has not confirmed
    assert "not confirmed by gone" in act.stderr
