"""Lifetimes and balances on hosts that share a server: one for all hosts, kept by its file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit.algorithms import FOREVER_NS
from ratelimit.decision import Reason
from ratelimit.limiter import Limiter
from ratelimit.stores.redis.doctor.vitals import persistence
from tests.cli.running import run
from tests.redis.test_budget_acts import admitted, told
from tests.support.redis.binary import Binary
from tests.support.redis.server import Server

POLICY = """\
version = 1
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "trial"
per = "account"
rate = "8/lifetime"
[[limit]]
name = "credit"
match = "/credit"
per = "account"
rate = "0/lifetime"
[[limit]]
name = "busy"
per = "account"
rate = "100000/year"
[store]
keys = 1000
url = "{url}"
prefix = "lasting"
memory = "{table}"
mode = "{mode}"
timeout = "2s"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture(params=["exact", "leased"])
def hosts(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own."""
    found = opened(server, tmp_path, request.param)
    yield found
    for limiter in found:
        limiter.close()


def opened(server: Server, folder: Path, mode: str) -> list[Limiter]:
    """Return a limiter of each of two hosts."""
    limiters = []
    for name in ("a", "b"):
        path = folder / f"{name}.toml"
        path.write_text(POLICY.format(url=server.url, table=folder / name, mode=mode))
        limiters.append(Limiter(path))
    return limiters


def test_lifetime_is_one_for_all_hosts_and_its_key_does_not_lapse(
    hosts: list[Limiter], server: Server
) -> None:
    assert admitted(hosts) == 8
    assert admitted(hosts, account="b") == 8
    lasting = [key for key in server.client.keys("lasting*") if server.client.type(key) == "string"]
    lapsing = [key for key in lasting if server.client.pttl(key) >= 0]
    assert len([key for key in lasting if server.client.pttl(key) == -1]) >= 2
    assert len(lapsing) == 2  # the buckets beside them


@pytest.mark.parametrize("hosts", ["exact"], indirect=True)
def test_payment_is_there_on_both_hosts_at_once_and_an_undo_takes_it_back(
    hosts: list[Limiter], tmp_path: Path
) -> None:
    told_of(tmp_path, "add", "trial=1000")
    assert admitted(hosts, path="/credit", count=2) == 0
    act = told_of(tmp_path, "add", "credit=5")
    assert admitted(hosts, path="/credit") == 5
    told_of(tmp_path, "add", "credit=1000000000000")
    show = told(tmp_path / "b.toml", "budget", "show", "a")["limits"]
    assert next(each for each in show if each["limit"] == "credit")["remaining"] == 10**12
    told(tmp_path / "b.toml", "undo", act)
    show = told(tmp_path / "b.toml", "budget", "show", "a")["limits"]
    assert next(each for each in show if each["limit"] == "credit")["remaining"] == 10**12 - 5


def told_of(folder: Path, command: str, *words: str) -> str:
    """Change the customer's budget; return the act."""
    label: str = told(folder / "a.toml", "budget", command, "a", *words)["act"]
    return label


@pytest.mark.parametrize("hosts", ["exact"], indirect=True)
def test_server_that_is_away_gives_no_host_a_lifetime_of_its_own(
    hosts: list[Limiter], server: Server
) -> None:
    assert admitted(hosts, count=3) == 8
    server.pause()
    try:
        decision = asyncio.run(once(hosts[0]))
        assert not decision.allowed
        assert decision.reason is Reason.STORE
    finally:
        server.resume()


async def once(host: Limiter):  # type: ignore[no-untyped-def]
    """Return one decision."""
    try:
        return await host.adecide(path="/", state={"account": "z"})
    finally:
        await host.aclose_connections()


def test_server_that_restarts_with_its_file_has_what_was_used(binary: Binary, tmp_path: Path) -> None:
    server = Server(binary, {"appendonly": "yes", "appendfsync": "always"})
    server.start()
    found: list[Limiter] = []
    try:
        found = opened(server, tmp_path, "exact")
        assert admitted(found, count=5) == 8
        server.kill()
        server.start()
        for limiter in found:
            limiter.close()
        found = opened(server, tmp_path, "exact")
        assert admitted(found) == 0
    finally:
        for limiter in found:
            limiter.close()
        server.stop()


def test_doctor_fails_a_server_that_forgets_a_lifetime() -> None:
    without = persistence({"aof_enabled": 0}, {"save": "3600 1"}, FOREVER_NS)
    assert without.status == "fail"
    assert "lifetime" in without.says
    assert persistence({"aof_enabled": 1}, {}, FOREVER_NS).status == "ok"
    assert persistence({"aof_enabled": 0}, {"save": ""}, 60 * 10**9).status == "ok"


@pytest.mark.usefixtures("brief_commands")
@pytest.mark.parametrize("hosts", ["exact"], indirect=True)
def test_top_up_in_an_outage_shows_no_effect_and_says_that_nothing_was_done(
    hosts: list[Limiter], server: Server, tmp_path: Path
) -> None:
    policy = tmp_path / "a.toml"
    told_of(tmp_path, "add", "credit=5")
    server.kill()
    try:
        result = run("act", "budget", "add", policy, "a", "credit=7", "--yes")
        assert result.exit_code == 4
        assert "nothing was done: " in result.output
        assert "are added" not in result.output
        # The log of this host has met `a`, by the first act.
        stopped = run("act", "stop", policy, "b")
        assert stopped.exit_code == 3
        assert "so whether account" in stopped.output
        assert "no limit has counted it" not in stopped.output
        assert "so whether" in run("act", "stop", policy, "b", "--yes", "--dry-run").output
    finally:
        server.start()
