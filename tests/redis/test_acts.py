"""The operator's acts on hosts that share a server: in force on all within two seconds, and confirmed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.acts.act import MOST_ACTS, Act
from ratelimit.stores.redis.acts import ServerActs
from ratelimit.worker.acts import ActFollower
from ratelimit.worker.upkeep import Upkeep
from tests.cli.running import run
from tests.support.redis.patience import until
from tests.support.redis.server import Server

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[store]
keys = 1000
url = "{url}"
prefix = "acts"
path = "{table}"
[hashing]
key = "00112233445566778899aabbccddeeff"
"""


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[list[Limiter]]:
    """Return two hosts with memory of their own, each with a worker that is kept up."""
    limiters, upkeeps = [], []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.toml"
        path.write_text(POLICY.format(url=server.url, table=tmp_path / name))
        limiters.append(Limiter(path))
        upkeeps.append(Upkeep(limiters[-1], 0))
        upkeeps[-1].start()
    yield limiters
    for upkeep, limiter in zip(upkeeps, limiters, strict=True):
        upkeep.stop()
        limiter.close()


def told(path: Path, command: str, *more: str) -> dict[str, Any]:
    result = run(command, path, *more, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def wait_for_hosts(path: Path, number: int) -> None:
    until(lambda: len(told(path, "acts")["hosts"]) == number, "hosts that say what they apply")


def test_an_exemption_is_in_force_on_every_host(hosts: list[Limiter], tmp_path: Path) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    began = time.monotonic()
    act = told(tmp_path / "a.toml", "exempt", "acct-17", "--for", "2h")
    assert time.monotonic() - began < 2.5
    assert [each["applied"] for each in act["hosts"]] == [True, True]
    for host in hosts:
        assert [each.number for each in host.runtime.acts] == [1]
        assert host.current.has_lists
    undone = told(tmp_path / "b.toml", "undo", "1")
    assert [each["applied"] for each in undone["hosts"]] == [True, True]
    assert [host.runtime.acts for host in hosts] == [(), ()]


def test_acts_stay_in_force_while_the_server_is_away(
    hosts: list[Limiter], tmp_path: Path, server: Server
) -> None:
    wait_for_hosts(tmp_path / "a.toml", 2)
    told(tmp_path / "a.toml", "exempt", "acct-17")
    server.kill()
    try:
        for host in hosts:
            ActFollower(host.store.place).look(host)
        assert [len(host.runtime.acts) for host in hosts] == [1, 1]
        assert run("exempt", tmp_path / "a.toml", "acct-18").exit_code == 4
    finally:
        server.start()


def test_the_servers_log_is_bounded(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    line = b'{"number":%d,"kind":"undo","at_ns":1,"by":"me","key":"k","undoes":1}'
    server.client.rpush("{acts}:acts", *(line % number for number in range(1, MOST_ACTS + 1)))
    told(path, "exempt", "acct-17")
    assert server.client.llen("{acts}:acts") == MOST_ACTS
    (last,) = server.client.lrange("{acts}:acts", -1, -1)
    assert json.loads(last)["number"] == MOST_ACTS + 1
    assert server.client.pttl("{acts}:acts") > 0


def test_two_acts_of_one_instant_have_two_numbers(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    remote = Policy.load(path).compiled.remote
    assert remote is not None
    logs = [ServerActs(remote) for _ in range(4)]
    together = Barrier(len(logs))

    def make(log: ServerActs) -> list[int]:
        together.wait()
        return [
            log.append(lambda number: Act(number, "exempt", 1, "me", "k", [number]), 1).number
            for _ in range(20)
        ]

    with ThreadPoolExecutor(len(logs)) as threads:
        numbers = [number for found in threads.map(make, logs) for number in found]
    for log in logs:
        log.close()
    assert sorted(numbers) == list(range(1, 81))
    lines = server.client.lrange("{acts}:acts", 0, -1)
    assert [json.loads(line)["number"] for line in lines] == list(range(1, 81))


def test_acts_of_one_instant_are_kept_where_the_log_is_full(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(POLICY.format(url=server.url, table=tmp_path / "a"))
    line = b'{"number":%d,"kind":"undo","at_ns":1,"by":"me","key":"k","undoes":1}'
    server.client.rpush("{acts}:acts", *(line % number for number in range(1, MOST_ACTS + 1)))
    remote = Policy.load(path).compiled.remote
    assert remote is not None
    log, tried = ServerActs(remote), []

    def make(number: int) -> Act:
        if not tried:
            server.client.rpush("{acts}:acts", Act(number, "exempt", 1, "other", "k", [2]).line())
        tried.append(number)
        return Act(number, "exempt", 1, "me", "k", [1])

    assert log.append(make, 1).number == MOST_ACTS + 2
    assert tried == [MOST_ACTS + 1, MOST_ACTS + 2]
    log.close()
    lines = [json.loads(each) for each in server.client.lrange("{acts}:acts", 0, -1)]
    assert [(each["number"], each["by"]) for each in lines[-2:]] == [
        (MOST_ACTS + 1, "other"),
        (MOST_ACTS + 2, "me"),
    ]
    assert len(lines) == MOST_ACTS
